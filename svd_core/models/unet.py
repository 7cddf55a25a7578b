"""diffusers' spatiotemporal UNet, faster."""

from diffusers import UNetSpatioTemporalConditionModel


class SpatioTemporalUNet(UNetSpatioTemporalConditionModel):  # type: ignore[misc]
    """diffusers' UNetSpatioTemporalConditionModel."""
