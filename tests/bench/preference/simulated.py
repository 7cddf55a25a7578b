"""Votes by raters who follow a Bradley-Terry model, with tastes of prompts and raters on top."""

import numpy as np
import polars as pl


def votes(strengths, *, prompts=16, raters=6, each=1, taste=0.0, ties=0.0, seed=0, questions=("",)):
    """`each` votes a rater on every prompt and pair; `taste` is the spread (log-odds) that prompts and raters add."""
    draw = np.random.default_rng(seed)
    arms = list(strengths)
    rows = []
    by_prompt, by_rater = (draw.normal(0, taste, (n, len(arms))) for n in (prompts, raters))
    for question in questions:
        for p in range(prompts):
            for r in range(raters):
                for i in range(len(arms)):
                    for j in range(i):
                        for _ in range(each):
                            mine = [strengths[arms[a]] + by_prompt[p, a] + by_rater[r, a] for a in (i, j)]
                            won = draw.random() < 1 / (1 + np.exp(mine[1] - mine[0]))
                            score = 0.5 if draw.random() < ties else float(won)
                            left, right = (arms[i], arms[j]) if draw.random() < 0.5 else (arms[j], arms[i])
                            score = score if left == arms[i] else 1 - score
                            rows.append((left, right, score, f"prompt {p}", question, f"rater {r}"))
    names = ("left", "right", "score", "prompt", "question", "rater")
    return pl.DataFrame(rows, schema=list(names), orient="row")
