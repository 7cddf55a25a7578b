"""
FD[vgg16], a frame-level Fréchet distance: how far single pictures are from real ones, blind to motion.

It is not FID: the network is VGG16 (relu5_3, averaged over the picture, 512 features, frames at 64 x 64), and values
cannot be compared with FID's. Range [0, inf), lower is nearer. Of every clip the first, middle and last frame count.
"""

from torch import Tensor

from bench.metrics.videos import ClipEncoder, first_middle_last
from svd_core.encoders.vgg16 import VGG16
from svd_core.encoders.weights import locate


def clip_encoder() -> ClipEncoder:
    """Features (3, 512) of a clip's first, middle and last frame."""
    network = VGG16.load(locate("vgg16"))

    def encode(clip: Tensor) -> Tensor:
        return network.to(clip.device).features(first_middle_last(clip)).cpu()

    return encode
