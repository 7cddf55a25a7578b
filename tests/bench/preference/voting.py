"""Something to vote on: noise of three arms, two seeds and eight prompts."""

import numpy as np

from bench.preference.poll import Subject

ARMS = ("unfiltered", "filtered", "same_size_random")
SEEDS = (0, 1)
TOKEN = "a-token"  # noqa: S105
QUESTIONS = ("visual quality", "prompt following")


def subject(clips=8, arms=ARMS):
    samples = {(arm, seed): f"sample-{arm}-{seed}" for arm in arms for seed in SEEDS}
    return Subject(samples, tuple(f"a red square, take {n}" for n in range(clips)), QUESTIONS, checks=clips)


def frames(side, seed, clip):
    """A clip that differs from every other one."""
    draw = np.random.default_rng([len(side), seed or 0, clip])
    return draw.integers(0, 255, (10, 3, 32, 32)).astype(np.uint8), 8
