"""Settings of the scoring stages: free of torch so that planning stays quick."""

from pydantic import Field

from svd_core.settings import Settings


class ScoreSettings(Settings):
    """Which metrics one run is scored with. Names are exact; see `bench.metrics`."""

    metrics: tuple[str, ...] = Field(("fvd", "fd_vgg16", "toy_clip_score", "dynamic_degree"), min_length=1)
