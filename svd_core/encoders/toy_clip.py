"""
A small text-image encoder in the manner of CLIP, trained on rendered pairs: `toy_clip_score` and the alignment filter.

The filter's and the scorer's encoders are two networks of this kind, trained on disjoint splits with different seeds.
"""

import json
import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save
from torch import Tensor, nn

from svd_core.data.toy_lvd import image_pairs
from svd_core.data.toy_lvd.scenes import VISIBLE
from svd_core.progress import Progress, silent
from svd_core.settings import ToyClipSettings

SIDE = 32
DIM = 64
WARMUP = 30
CHUNK = 256
"""Images at once outside of training; progress is told after as many rendered pairs."""


OTHERS = {word: [other for other in words if other != word] for words in VISIBLE.values() for word in words}
"""What a visible word could be exchanged for."""


class ToyClip(nn.Module):
    """
    Two towers into one space: a few convolutions, pooled over the picture, and a bag of words.

    `words` is the vocabulary, in the order of the embedding's rows: the words of the training captions.
    """

    def __init__(self, words: Sequence[str]) -> None:
        super().__init__()
        self.words = list(words)
        self.rows = {word: row for row, word in enumerate(self.words)}
        self.image_tower = nn.Sequential(
            *_block(3, 32, kernel=5, stride=2),
            *_block(32, 64, kernel=3, stride=2),
            *_block(64, 96, kernel=3, stride=1),
            MeanAndMax(),
            nn.Linear(192, DIM),
        )
        self.text_tower = nn.Sequential(nn.Linear(len(self.words), DIM), nn.GELU(), nn.Linear(DIM, DIM))
        self.log_scale = nn.Parameter(torch.tensor(math.log(20.0)))

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the encoder that `train_toy_clip` left in the folder `path`."""
        model = cls(json.loads((path / "config.json").read_text())["words"])
        model.load_state_dict(load_file(path / "model.safetensors"))
        return model.eval().requires_grad_(False)

    def embed_images(self, images: Tensor) -> Tensor:
        """Unit vectors (N, 64) of uint8 images (N, 3, H, W), which are brought to 32 x 32 by area."""
        if images.ndim != 4 or images.shape[1] != 3 or images.dtype != torch.uint8:
            raise ValueError(f"expected uint8 images (N, 3, H, W), got {images.dtype} {tuple(images.shape)}")
        return torch.cat([self._image_vectors(chunk) for chunk in torch.split(images, CHUNK)])

    def embed_texts(self, texts: list[str]) -> Tensor:
        """Unit vectors (N, 64). Words that training never saw count for nothing; a text of only such is refused."""
        return self._text_vectors(self.count_words(texts))

    def count_words(self, texts: Sequence[str]) -> Tensor:
        """How often each text holds each known word, float (N, vocabulary)."""
        counts = torch.zeros(len(texts), len(self.words))
        for row, text in enumerate(texts):
            known = [self.rows[word] for word in split_words(text) if word in self.rows]
            if not known:
                raise ValueError(f"no word of {text!r} is known; the encoder knows: {' '.join(self.words)}")
            counts[row] = torch.bincount(torch.tensor(known), minlength=len(self.words))
        return counts

    def loss(self, images: Tensor, captions: Tensor, wrong: Tensor) -> Tensor:
        """
        Symmetric InfoNCE over the batch (Radford et al. 2021, fig. 3), and each image's caption against wrong ones.

        `captions` are word counts (B, V), `wrong` (B, K, V): without these, captions that differ in one word from the
        right one are rare in a batch, and telling them apart is what the filter is for.
        """
        pictures, texts = self._image_vectors(images), self._text_vectors(captions)
        scale = self.log_scale.exp()
        logits = scale * pictures @ texts.T
        own = torch.arange(len(images))
        in_batch = (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2
        choices = self._text_vectors(torch.cat([captions[:, None], wrong], dim=1))
        choice_logits = scale * (choices @ pictures[:, :, None]).squeeze(2)
        return in_batch + F.cross_entropy(choice_logits, torch.zeros_like(own))

    def _image_vectors(self, images: Tensor) -> Tensor:
        pixels = images.float() / 127.5 - 1
        if images.shape[2:] != (SIDE, SIDE):
            pixels = F.interpolate(pixels, (SIDE, SIDE), mode="area")
        return F.normalize(self.image_tower(pixels.contiguous(memory_format=torch.channels_last)), dim=1)

    def _text_vectors(self, counts: Tensor) -> Tensor:
        return F.normalize(self.text_tower(counts), dim=-1)


class MeanAndMax(nn.Module):
    """Mean and maximum over the picture, (N, C, H, W) to (N, 2C): what is where does not matter, only what there is."""

    def forward(self, x: Tensor) -> Tensor:
        """Pool."""
        return torch.cat([x.mean((2, 3)), x.amax((2, 3))], dim=1)


def split_words(text: str) -> list[str]:
    """Lower-case words without punctuation and articles."""
    return [word for word in re.findall(r"[^\W_]+", text.lower()) if word not in ("a", "an", "the")]


def train_toy_clip(settings: ToyClipSettings, out: Path, *, progress: Progress = silent) -> None:
    """
    Train on `settings.images` pairs of `settings.split`; write `model.safetensors` and `config.json`.

    AdamW, linear warm-up, cosine decay; every other batch is mirrored (no caption tells left from right in one frame).
    """
    generator = torch.Generator().manual_seed(settings.seed)
    total = settings.images + settings.steps * settings.batch_size
    images, captions = _render(settings, progress, total)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = ToyClip(sorted(set(OTHERS).union(*map(split_words, captions))))
    model.to(memory_format=torch.channels_last)
    counts = model.count_words(captions)
    swaps = _visible_swaps(model, captions)
    optimizer = torch.optim.AdamW(model.parameters(), lr=settings.lr, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, settings.steps))
    for step in range(settings.steps):
        batch = torch.randint(len(images), (settings.batch_size,), generator=generator)
        pictures = images[batch].flip(3) if step % 2 else images[batch]
        loss = model.loss(pictures, counts[batch], _swapped(counts[batch], swaps[batch]))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        progress(settings.images + (step + 1) * settings.batch_size, total, loss=loss.item())
    _write(model.eval(), out)


def _render(settings: ToyClipSettings, progress: Progress, total: int) -> tuple[Tensor, list[str]]:
    """All training pairs: uint8 (N, 3, 32, 32) and captions."""
    images, captions = [], []
    for start in range(0, settings.images, CHUNK):
        indices = range(start, min(start + CHUNK, settings.images))
        some_images, some_captions = image_pairs(settings.split, indices, settings.seed, SIDE)
        images.append(some_images)
        captions.extend(some_captions)
        progress(indices.stop, total)
    return torch.cat(images), captions


def _visible_swaps(model: ToyClip, captions: list[str]) -> Tensor:
    """For each caption, every way to make it wrong by one visible word: rows (N, K, 2) of the old word and the new."""
    return torch.tensor(
        [
            [(model.rows[word], model.rows[other]) for word in split_words(caption) for other in OTHERS.get(word, [])]
            for caption in captions
        ]
    )


def _swapped(counts: Tensor, swaps: Tensor) -> Tensor:
    """Word counts (B, K, V) of the captions `counts` (B, V) after each of their `swaps` (B, K, 2)."""
    old, new = F.one_hot(swaps, counts.shape[1]).float().unbind(2)
    return counts[:, None] - old + new


def _rate(step: int, steps: int) -> float:
    """Learning rate's share of its peak."""
    return min(1.0, (step + 1) / WARMUP) * (1 + math.cos(math.pi * step / steps)) / 2


def _block(inputs: int, outputs: int, kernel: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]


def _write(model: ToyClip, out: Path) -> None:
    tensors = {name: tensor.contiguous() for name, tensor in sorted(model.state_dict().items())}
    (out / "model.safetensors").write_bytes(save(tensors))
    (out / "config.json").write_text(json.dumps({"words": model.words}, indent=1))
