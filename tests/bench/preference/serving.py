"""A voting page of made-up clips as a process of its own: `python serving.py LOG CLIPS PORT PAIRS`."""

import sys
from pathlib import Path

import uvicorn
from voting import TOKEN, frames, subject

from bench.preference.clips import Clips
from bench.preference.log import Log
from bench.preference.poll import Poll
from bench.preference.server import VotingPage, application


def main(log, clips, port, pairs):
    Path(clips).mkdir(exist_ok=True)
    poll = Poll(subject(), Log(Path(log)), int(pairs), "balance")
    app = application(VotingPage(poll, Clips(frames, Path(clips)), TOKEN, int(port)), "127.0.0.1")
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning", server_header=False)


if __name__ == "__main__":
    main(*sys.argv[1:])
