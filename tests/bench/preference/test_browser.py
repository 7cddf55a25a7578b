"""Real raters' hands: headless Chromium through sixty votes, with reloads, a killed server and two raters at once."""

import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from browser import chromium
from voting import ARMS, TOKEN

from bench.preference.ledger import replayed
from bench.preference.log import read_log

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent


class Server:
    """The voting page's process, which can be killed and started again."""

    def __init__(self, folder, pairs):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.log = folder / "votes.jsonl"
        self.command = [sys.executable, str(HERE / "serving.py"), str(self.log), str(folder / "clips"), str(self.port)]
        self.command.append(str(pairs))
        self.process = None

    def start(self):
        self.process = subprocess.Popen(self.command, env={**os.environ, "OMP_NUM_THREADS": "1"})
        for _ in range(600):
            assert self.process.poll() is None, "the server ended"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise TimeoutError("the server does not listen")

    def kill(self):
        self.process.kill()
        self.process.wait()

    @property
    def link(self):
        return f"http://127.0.0.1:{self.port}/?token={TOKEN}"


@pytest.fixture
def server(tmp_path):
    server = Server(tmp_path, pairs=15)
    server.start()
    yield server
    server.kill()


class Rater:
    """A person at a browser."""

    def __init__(self, driver, link):
        self.driver = driver
        driver.get(link)

    def element(self, name):
        return self.driver.find_element("id", name)

    def until(self, ready):
        for _ in range(600):
            if ready():
                return
            time.sleep(0.05)
        raise TimeoutError(f"still at {self.standing}, error {self.element('error').text!r}")

    def enter(self, name):
        self.until(lambda: self.element("name").is_displayed())
        if name:
            self.element("name").send_keys(name)
            self.driver.find_element("css selector", "#enter button.main").click()
        else:
            self.element("anonymous").click()
        self.until(lambda: self.element("question").is_displayed())

    @property
    def standing(self):
        return self.element("count").text

    def answered(self):
        return int(self.standing.split(" ")[0])

    def press(self, key):
        """Answer by keyboard, and wait until the page has moved on."""
        self.change(lambda: self.driver.find_element("tag name", "body").send_keys(key))

    def click(self, answer):
        self.change(lambda: self.driver.find_element("css selector", f"[data-answer={answer}]").click())

    def change(self, act):
        before = self.standing
        act()
        self.until(lambda: self.standing != before)

    def playing(self):
        script = "return [...document.querySelectorAll('video')].map(v => [v.readyState, v.currentTime, v.videoWidth])"
        return self.driver.execute_script(script)


def votes(server):
    return replayed(read_log(server.log)).rows()


LEFT, RIGHT, DOWN = "\ue012", "\ue014", "\ue015"


def test_two_raters_through_sixty_votes(server, tmp_path):
    with chromium(**{"goog:loggingPrefs": {"performance": "ALL"}}) as first, chromium() as second:
        ann, bob = Rater(first, server.link), Rater(second, server.link)
        ann.enter("Ann")
        bob.enter("")
        assert TOKEN not in first.current_url
        ann.until(lambda: all(state >= 2 and width == 256 for state, _, width in ann.playing()))
        ann.until(lambda: all(seconds > 0 for _, seconds, _ in ann.playing()))
        for number in range(30):
            ann.press((LEFT, RIGHT, DOWN)[number % 3])
            bob.click(("left", "right", "tie")[number % 3])
            if number in (4, 11):
                first.refresh()
                ann.until(lambda number=number: ann.standing.startswith(f"{number + 1} of"))
            if number == 7:
                ann.change(lambda: ann.element("undo").click())
                ann.press(RIGHT)
                ann.press("u")
                ann.press(RIGHT)
            if number == 15:
                server.kill()
                second.find_element("css selector", "[data-answer=left]").click()
                bob.until(lambda: "cannot be reached" in bob.element("error").text)
                server.start()
        for rater in (ann, bob):
            rater.until(lambda rater=rater: rater.element("finished").is_displayed())
            assert rater.standing == "30 of 30"
        traffic = json.dumps(first.get_log("performance"))
        sources = first.page_source + second.page_source
    rows = votes(server)
    assert len(rows) == 60
    assert len({(row["task"], row["question"]) for row in rows}) == 60
    assert Counter(row["rater"] == "Ann" for row in rows) == {True: 30, False: 30}
    anns = [row["score"] for row in rows if row["rater"] == "Ann"]
    assert Counter(anns)[0.0] >= 10  # every third, and what was changed after an undo
    assert {row["score"] for row in rows} == {0.0, 0.5, 1.0}
    real = {row["task"]: row for row in rows if row["expected"] is None}.values()
    for one in ARMS:
        for two in ARMS[: ARMS.index(one)]:
            lead = sum(
                (row["left"] == one) - (row["left"] == two) for row in real if {row["left"], row["right"]} == {one, two}
            )
            assert abs(lead) <= 1
    names = " ".join(path.name for path in (tmp_path / "clips").iterdir())
    for name in (*ARMS, "sample-", "real clip", "damaged"):
        assert name not in traffic + sources + names


def test_double_clicks_and_a_second_tab_count_once(server):
    with chromium() as browser:
        rater = Rater(browser, server.link)
        rater.enter("Ann")
        button = "document.querySelector('[data-answer=left]')"
        rater.change(lambda: browser.execute_script(f"{button}.click(); {button}.click(); {button}.click()"))
        assert rater.standing == "1 of 30"
        tab = browser.current_window_handle
        browser.switch_to.new_window("tab")
        other = Rater(browser, f"http://127.0.0.1:{server.port}/")
        other.until(lambda: other.standing == "1 of 30")
        other.click("right")
        browser.switch_to.window(tab)
        rater.click("left")  # the question that the other tab has answered
        assert rater.standing == "2 of 30"
    assert [row["score"] for row in votes(server)] == [1.0, 0.0]


def test_hostile_names_are_text_or_refused(server):
    with chromium() as browser:
        rater = Rater(browser, server.link)
        rater.until(lambda: rater.element("name").is_displayed())
        rater.element("name").send_keys("<img src=x onerror=alert(1)>")
        rater.driver.find_element("css selector", "#enter button.main").click()
        rater.until(lambda: "a name has up to 40" in rater.element("error").text)
        assert votes(server) == []
