"""The page as a reader uses it: headless Chromium opens it from disk."""

import json
from pathlib import Path

import pytest
from browser import chromium

pytestmark = pytest.mark.slow


@pytest.mark.timeout(300)
def test_page_plays_scrubs_sorts_and_asks_for_nothing(report: Path) -> None:
    with chromium(**{"goog:loggingPrefs": {"performance": "ALL", "browser": "ALL"}}) as driver:
        driver.get((report / "report.html").as_uri())
        run = driver.execute_script
        body = driver.find_element("tag name", "body")

        def frame() -> int:
            return int(run("return getComputedStyle(document.getElementById('gallery')).getPropertyValue('--frame')"))

        play = driver.find_element("id", "play")
        assert "Pause" in play.text
        body.send_keys("k")
        assert "Play" in play.text
        still = frame()
        body.send_keys(".")
        assert frame() == (still + 1) % 10
        body.send_keys(",")
        assert frame() == still
        run("const s = document.getElementById('frame'); s.value = 7; s.dispatchEvent(new Event('input'))")
        assert frame() == 7
        places = run("return [...document.querySelectorAll('[data-seed]:not([hidden]) .clip')]"
                     ".map(c => getComputedStyle(c).backgroundPositionX)")  # fmt: skip
        assert len(places) > 8
        assert len(set(places)) == 1  # all in step
        run("document.querySelector('input[name=seed][value=\"2\"]').click()")
        assert run(
            "return [...document.querySelectorAll('[data-seed]')].filter(b => !b.hidden).map(b => b.dataset.seed)"
        ) == ["2"]

        heading = driver.find_element("css selector", "table.sortable th:nth-child(3) button")
        column = (
            "return [...document.querySelector('table.sortable').tBodies[0].rows].map(r => r.cells[0].innerText.trim())"
        )
        orders = []
        for _ in range(3):
            heading.send_keys("\n")  # by keyboard
            orders.append(run(column))
        assert orders[0] == orders[1][::-1] == ["filtered", "same_size_random", "unfiltered"]
        assert orders[2] == ["unfiltered", "filtered", "same_size_random"]

        assert run("return document.documentElement.scrollWidth <= innerWidth")
        wide = run("return [...document.images].every(i => !i.complete || i.naturalWidth > 0)")
        assert wide
        asked = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
        addresses = [m["params"]["request"]["url"] for m in asked if m["method"] == "Network.requestWillBeSent"]
        assert addresses
        assert all(address.startswith((report.as_uri(), "data:")) for address in addresses)
        assert driver.get_log("browser") == []
