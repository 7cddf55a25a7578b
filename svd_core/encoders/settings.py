"""Settings of the frozen networks: the autoencoder, and what prompts and pictures are read by. Free of torch."""

from pydantic import Field

from svd_core.settings import Settings


class AutoencoderKLSettings(Settings):
    """The small AutoencoderKLTemporalDecoder that is trained when no released one is named.

    It is trained on single frames, so that its temporal layers stay silent. batch_size: in frames. block_out_channels:
    64 at least, for with one channel a group its 32 group norms would lose the colours.
    """

    folder: str | None = None
    block_out_channels: tuple[int, ...] = (64, 64, 64)
    latent_channels: int = Field(4, ge=1)
    steps: int = Field(600, ge=1)
    batch_size: int = Field(8, ge=1)
    lr: float = Field(2e-3, gt=0)
    seed: int = Field(0, ge=0)


class ConditionersSettings(Settings):
    """What turns prompts and pictures into what the network reads, and both of one width.

    text: `toy`, or a folder in Stable Diffusion's layout. image: `random`, a small CLIP vision network with fixed
    random weights, or a folder in Stable Video Diffusion's layout.
    """

    text: str = "toy"
    image: str = "random"
    dim: int = Field(64, ge=8)
    seed: int = Field(0, ge=0)


class EncoderSettings(Settings):
    """The frozen networks of a training. A small autoencoder is trained on clips of all `data`."""

    autoencoder: AutoencoderKLSettings = AutoencoderKLSettings()
    conditioners: ConditionersSettings = ConditionersSettings()


class SizedEncoderSettings(EncoderSettings):
    """The same for clips of many sizes. size: height and width that they are brought to; null where they have one."""

    size: tuple[int, int] | None = Field(None, exclude_if=lambda size: size is None)
