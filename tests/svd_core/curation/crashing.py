"""A decoder that dies with its process: stands in for `curate_video` on videos named for it."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from svd_core.curation.clips import CuratedVideo, curate_video
from svd_core.curation.listing import Listed
from svd_core.data.processes import Isolated


def curate_or_crash(settings: Any, video: Listed, folder: Path, *, beat: Callable[[], None]) -> CuratedVideo:
    if "crash" in video.identifier:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "once" in video.identifier and not Path(video.location).with_suffix(".tried").exists():
        Path(video.location).with_suffix(".tried").touch()
        os._exit(3)
    return curate_video(settings, video, folder, beat=beat)


class Crashing(Isolated):
    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return super().call(curate_or_crash if function is curate_video else function, *arguments)
