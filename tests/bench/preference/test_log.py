import pytest

from bench.preference.log import Log, LogError, read_log


def test_events_come_back_in_order(tmp_path):
    log = Log(tmp_path / "a" / "log.jsonl")
    for number in range(3):
        log.append({"number": number, "text": "Łódź\n"})
    log.sync()
    assert [event["number"] for event in read_log(log.path)] == [0, 1, 2]
    log.close()
    again = Log(log.path)
    assert [event["text"] for event in again.events] == ["Łódź\n"] * 3
    again.close()


def test_half_an_event_is_cut_off_and_the_next_one_is_whole(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": 2')
    assert read_log(path) == [{"a": 1}]
    log = Log(path)
    assert log.events == [{"a": 1}]
    log.append({"a": 3})
    log.close()
    assert read_log(path) == [{"a": 1}, {"a": 3}]


def test_a_spoilt_line_is_named(tmp_path):
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'{"a": 1}\nnonsense\n{"a": 2}\n')
    with pytest.raises(LogError, match=r"log.jsonl:2: not an event"):
        Log(path).close()


def test_one_writer_at_a_time(tmp_path):
    log = Log(tmp_path / "log.jsonl")
    with pytest.raises(LogError, match="in use by another process"):
        Log(log.path)
    log.close()
    Log(log.path).close()


class FullDisk:
    """A file of which only a part of each write arrives."""

    def __init__(self, file):
        self.file = file

    def write(self, line):
        self.file.write(line[:5])
        return 5

    def __getattr__(self, name):
        return getattr(self.file, name)


def test_a_full_disk_leaves_no_half_event(tmp_path):
    log = Log(tmp_path / "log.jsonl")
    log.append({"a": 1})
    log._file = FullDisk(log._file)
    with pytest.raises(OSError, match="No space left"):
        log.append({"a": 2})
    assert log.path.read_bytes() == b'{"a": 1}\n'
    log.close()
