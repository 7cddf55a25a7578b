import pytest
from drawn_videos import write_videos


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Four real and three generated videos of 12 frames, 32 x 48, 8 fps."""
    root = tmp_path_factory.mktemp("folders")
    real = write_videos(root / "real", ["a.mp4", "b.mp4", "c.mp4", "deep/d.mp4"])
    return real, write_videos(root / "generated", ["a.mp4", "b.mp4", "c.mp4"])
