"""A toy text encoder without any training: every word is a fixed random direction, a prompt is the sum of its words."""

import hashlib
import re
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

MAX_WORDS = 20
FUNCTION_WORDS = frozenset(["a", "an", "the", "on", "in", "of", "over", "across"])
"""Left out of the sum, where they would only make the words that tell something quieter."""
SCALE = 4.0
"""Embeddings of unit variance a component are followed too slowly by cross-attention at laptop scale."""


class PromptTooLong(ValueError):
    """A prompt has more words than the encoder takes."""


@dataclass(frozen=True)
class BagOfWords:
    """One token a prompt: the sum of its words' directions, scaled to the same length for any number of words.

    A word's direction comes from the SHA-256 of the word, so nothing is stored and every machine agrees. Word order is
    lost, which the grammar of `toy_lvd` allows: its attributes share no words. A single token is attended to from the
    first step, while attention over word tokens has to be learnt, which took longer than laptop scale trains. The
    empty prompt is zero: the unconditional branch.
    """

    dim: int = 64

    def encode(self, prompts: list[str]) -> torch.Tensor:
        """Embeddings float32 (N, 1, dim). Raises PromptTooLong rather than cutting a prompt at 20 words."""
        directions: dict[str, NDArray[np.float64]] = {}
        embeddings = np.zeros((len(prompts), 1, self.dim), np.float32)
        for row, prompt in enumerate(prompts):
            words = self._words(prompt)
            for word in words:
                if word not in directions:
                    directions[word] = self._direction(word)
            if words:
                embeddings[row, 0] = SCALE * sum(directions[word] for word in words) / np.sqrt(len(words))
        return torch.from_numpy(embeddings)

    def check(self, prompts: list[str]) -> None:
        """Raise PromptTooLong where `encode` would."""
        for prompt in prompts:
            self._words(prompt)

    @staticmethod
    def _words(prompt: str) -> list[str]:
        words = re.findall(r"[^\W_]+", prompt.lower())
        if len(words) > MAX_WORDS:
            raise PromptTooLong(f"prompt of {len(words)} words, but the text encoder takes {MAX_WORDS}: {prompt!r}")
        return [word for word in words if word not in FUNCTION_WORDS]

    def _direction(self, word: str) -> NDArray[np.float64]:
        """A vector of unit variance a component."""
        seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:16], "little")
        vector = np.random.default_rng(seed).standard_normal(self.dim)
        return np.asarray(vector * np.sqrt(self.dim) / np.linalg.norm(vector))
