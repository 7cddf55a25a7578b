"""A toy text encoder without any training: every word is a fixed random direction."""

import hashlib
import re
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

NEIGHBOUR_WEIGHT = 0.5


class PromptTooLong(ValueError):
    """A prompt has more words than the encoder has tokens."""


@dataclass(frozen=True)
class WordVectors:
    """Fixed word vectors: one token a word, zeros after the last.

    A word's direction comes from the SHA-256 of the word, so nothing is stored and every machine agrees. A token is the
    word plus half of the word before it (hashed apart from the word itself), which tells *red circle on blue* from
    *blue circle on red* without positions. The empty prompt is all zeros: the unconditional branch.
    """

    tokens: int = 20
    dim: int = 64

    def encode(self, prompts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return embeddings float32 (N, tokens, dim), tokens of unit variance a component, and lengths int64 (N,).

        Raises PromptTooLong rather than cutting a prompt.
        """
        embeddings = np.zeros((len(prompts), self.tokens, self.dim), np.float32)
        lengths = np.zeros(len(prompts), np.int64)
        vectors: dict[str, NDArray[np.float32]] = {}
        for row, prompt in enumerate(prompts):
            words = self._words(prompt)
            lengths[row] = len(words)
            for position, (previous, word) in enumerate(zip(["", *words], words, strict=False)):
                key = f"{previous} {word}"
                if key not in vectors:
                    vectors[key] = self._token(previous, word)
                embeddings[row, position] = vectors[key]
        return torch.from_numpy(embeddings), torch.from_numpy(lengths)

    def _words(self, prompt: str) -> list[str]:
        words = re.findall(r"[^\W_]+", prompt.lower())
        if len(words) > self.tokens:
            raise PromptTooLong(f"prompt of {len(words)} words, but the text encoder takes {self.tokens}: {prompt!r}")
        return words

    def _token(self, previous: str, word: str) -> NDArray[np.float32]:
        token = self._direction(word)
        if previous:
            token = token + NEIGHBOUR_WEIGHT * self._direction(f"after {previous}")
        return np.asarray(token * np.sqrt(self.dim) / np.linalg.norm(token), np.float32)

    def _direction(self, name: str) -> NDArray[np.float64]:
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:16], "little")
        vector = np.random.default_rng(seed).standard_normal(self.dim)
        return np.asarray(vector / np.linalg.norm(vector))
