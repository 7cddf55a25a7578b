"""The public metrics."""

from bench.metrics.frechet import frechet_distance
from bench.metrics.fvd import fvd

__all__ = ["frechet_distance", "fvd"]
