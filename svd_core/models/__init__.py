"""Networks. `inflate` is the way from a Stable Diffusion image model to a video model.

Names are looked up when they are used: whoever needs only the autoencoder does not wait for diffusers.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from svd_core.models.inflation import NotInflatable, inflate
    from svd_core.models.unet import SpatioTemporalUNet

__all__ = ["NotInflatable", "SpatioTemporalUNet", "inflate"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from svd_core.models import inflation

    return getattr(inflation, name)
