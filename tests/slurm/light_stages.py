# Appended to a copy of ablations/stages.py: stages that take a moment, so that a cluster's ways can be tested by the
# hundred. `pretrain_videos.p_mean` says what training does: below 100 the real thing on tiny made-up latents.

import hashlib
import json
import os
import signal
import sys
import time

from svd_core.training import interruption

TRAINS, RAISES, GROWS, EXITS, DIES, ENDLESS, FILLS_DISK = range(100, 107)
CHECKPOINT_EVERY = 10


def trace(out: Path, line: str) -> None:
    """Tell outside the work folder what was really done, however often."""
    path = out.parents[1] / "trace" / out.name
    path.parent.mkdir(exist_ok=True)
    with path.open("a") as file:
        file.write(line + "\n")


def light_corpus(settings: s.CorpusSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    (out / "text").write_text(f"{settings.sources} sources")
    trace(out, "made")


def light_encode(settings: s.EncodeSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    import polars as pl
    import torch
    from safetensors.torch import save_file

    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(10, 3, 4, 4, 4, generator=generator).half()
    text = torch.randn(10, 3, 5, 8, generator=generator).half()
    save_file({"latents": latents, "text": text}, out / "latents.safetensors")
    index = {"clip_id": [f"clip{row}" for row in range(10)], "fps": [8.0] * 10, "motion": [0.1 * r for r in range(10)]}
    pl.DataFrame(index).write_parquet(out / "index.parquet")


def light_subset(settings: SubsetSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    import polars as pl

    pl.DataFrame({"clip_id": [f"clip{row}" for row in range(7)]}).write_parquet(out / "subset.parquet")


def light_videos(settings: s.VideoPretrainingSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    if settings.p_mean < TRAINS:
        pretrain_videos(settings, inputs, out, progress)
    elif settings.p_mean == TRAINS:
        train_by_hashing(settings, inputs, out, progress)
    else:
        go_wrong(int(settings.p_mean), out)
    trace(out, "made")


def go_wrong(how: int, out: Path) -> None:
    if how == RAISES:
        raise ValueError("this arm cannot be trained")
    if how == GROWS:
        hoard = []
        while True:
            hoard.append(b"x" * 50_000_000)
            time.sleep(0.05)
    if how == EXITS:
        sys.stdout.flush()
        os._exit(7)
    if how == DIES:
        os.kill(os.getpid(), signal.SIGKILL)
    if how == FILLS_DISK:
        with Path("/dev/full").open("w") as full:
            full.write("x" * 100_000)
    if how == ENDLESS:
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGTERM])
        while True:
            time.sleep(1)


def train_by_hashing(settings: s.VideoPretrainingSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    """A chain of hashes for weights: any lost, doubled or torn step shows in the result."""
    path, steps = out / "state.json", settings.samples // settings.batch_size
    who = f"{settings.lr} {settings.seed} {(inputs['corpus'] / 'text').read_text()}"
    start = hashlib.sha256(who.encode()).hexdigest()
    state = json.loads(path.read_text()) if path.exists() else {"step": 0, "weights": start}

    def save() -> None:
        path.with_suffix(".half").write_text(json.dumps(state))
        path.with_suffix(".half").replace(path)

    while state["step"] < steps:
        if interruption.requested():
            save()
            raise interruption.Interrupted(f"asked to stop after {state['step']} steps")
        state = {"step": state["step"] + 1, "weights": hashlib.sha256(state["weights"].encode()).hexdigest()}
        trace(out, f"step {state['step']}")
        time.sleep(settings.p_std)
        if state["step"] % CHECKPOINT_EVERY == 0:
            save()
        progress(state["step"], steps)
    (out / "weights").write_text(state["weights"])
    path.unlink(missing_ok=True)


def light_sample(settings: s.SampleSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    files = sorted(path for path in inputs["pretrain_videos"].rglob("*") if path.name != "manifest.json")
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()]
    (out / "sample").write_text(" ".join(digests))
    trace(out, "made")


def light_score(settings: ScoreSettings, inputs: Inputs, out: Path, progress: Progress) -> None:
    digest = hashlib.sha256((inputs["sample"] / "sample").read_bytes()).hexdigest()[:16]
    (out / "score").write_text(digest)
    (out / "scores.json").write_text(json.dumps({"fvd": {"value": int(digest, 16) / 16**16, "error": None}}))
    trace(out, "made")


STAGES |= {
    stage.name: stage
    for stage in (
        Stage("corpus", light_corpus),
        Stage("encode", light_encode),
        Stage("subset", light_subset),
        Stage("pretrain_videos", light_videos),
        Stage("sample", light_sample),
        Stage("score", light_score),
    )
}


def experiment(recipe: Recipe, add: Add) -> dict[str, Node]:
    roles = {"corpus": add("corpus", recipe.corpus)}
    parents = dict(roles)
    if recipe.pretrain_videos.p_mean < TRAINS:
        encode = add("encode", recipe.encode, **roles)
        images = add("pretrain_images", recipe.pretrain_images, encode_images=encode)
        parents = {"encode": encode, "pretrain_images": images, "subset": add("subset", recipe.subset, encode=encode)}
        roles |= parents
    roles["pretrain_videos"] = add("pretrain_videos", recipe.pretrain_videos, **parents)
    roles["sample"] = add("sample", recipe.sample, pretrain_videos=roles["pretrain_videos"])
    roles["score"] = add("score", recipe.score, sample=roles["sample"])
    return roles


def segments(recipe: Recipe, samples: Sequence[int], add: Add) -> list[dict[str, Node]]:
    """A search's only rung; nobody asks for the subset's score."""
    roles = experiment(recipe, add)
    return [{**roles, "score_subset": roles["score"]}]
