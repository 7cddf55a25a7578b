"""
FID (Heusel et al. 2017) of frames, with clean-fid's resizing and network (Parmar et al. 2022), mode "clean".

Needs the user's inception-2015-12-05.pt (`ablate weights fetch inception --from FILE`) and the extra `fid`. Range [0,
inf), lower is nearer. Of every clip the first, middle and last frame count.
"""

from torch import Tensor

from bench.metrics.videos import ClipEncoder, first_middle_last
from svd_core.encoders.weights import locate


def clip_encoder() -> ClipEncoder:
    """Features (3, 2048) of a clip's first, middle and last frame."""
    from svd_core.encoders.inception import Inception  # here, because clean-fid is an extra

    network = Inception.load(locate("inception"))

    def encode(clip: Tensor) -> Tensor:
        return network.to(clip.device).features(first_middle_last(clip)).cpu()

    return encode
