"""The embedded corpus: procedurally rendered source videos with planted defects, and what goes with them."""

from svd_core.data.toy_lvd.files import render_corpus, render_images, render_reference
from svd_core.data.toy_lvd.pairs import image_pairs

__all__ = ["image_pairs", "render_corpus", "render_images", "render_reference"]
