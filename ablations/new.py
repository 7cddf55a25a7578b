"""`ablate new`: a commented starting point for a spec of one's own."""

import json
import re
from pathlib import Path

from ablations.errors import AblateError
from ablations.spec import load, taken

TEMPLATE = """\
# An ablation of your own. `ablate plan {file}` says what it would cost, `ablate run {file}` runs it.
# Everything misspelt is refused with line and column, and shared stages are made once for all specs.
question: Is dropping static clips alone enough?      # one sentence that the verdict answers
paper: ""                      # what is known: where it stands, and its claim
recipe: text_to_video          # or the path of a recipe file beside this one
seeds: [0, 1, 2]               # each seed pairs the arms: same data order, noise and prompts
baseline: unfiltered           # the arm that every other is compared with
arms:                          # an arm says only what it changes, by STAGE.SETTING (those of settings.py)
  unfiltered: {{}}
  moving:
    subset.keep: {{motion: {{drop_lowest: 0.25}}}}     # other axes: text_area, aesthetics, alignment
  # fewer_clips:               # the control for size: as many clips as another arm keeps, drawn at random
  #   subset.sample: {{match: moving}}
  # less_training:             # a multiple of what recipe and scale say
  #   pretrain_videos.samples: {{times: 0.5}}
# family: [moving]             # arms that the verdict covers; by default all
primary: fvd                   # the one metric that the verdict rests on, named before anything runs
metrics: [fvd, fd_vgg16, toy_clip_score, dynamic_degree]
# limits: ""                   # what the toy corpus cannot show, for results/README.md
"""
OWN = """\
# An ablation on clips of your own, as `ablate curate` left them; sizes and networks are in {recipe}.
# `ablate plan {file}` says what it would cost, `ablate run {file}` runs it.
question: Is dropping static clips alone enough?      # one sentence that the verdict answers
recipe: {recipe}
seeds: [0, 1, 2]               # each seed pairs the arms: same data order, noise and prompts
baseline: unfiltered           # the arm that every other is compared with
arms:
  unfiltered: {{}}
  moving:
    subset.clips.keep: {{motion: {{drop_lowest: 0.25}}}}     # other axes: text_area, aesthetics, alignment, fps, …
  fewer_clips:                 # the control for size: as many clips as another arm keeps, drawn at random
    subset.clips.sample: {{match: moving}}
primary: fvd                   # the one metric that the verdict rests on, named before anything runs
metrics: [fvd, fd_vgg16, dynamic_degree]
"""
RECIPE = """\
# What the arms of {file} have in common: images first, then videos. Small enough for a laptop; `start:` and the folders
# of `autoencoder:` and `conditioners:` take Stable Diffusion's and Stable Video Diffusion's networks instead.
about: text-to-video on our own clips
time_id_dim: 32
network: {{block_out_channels: [64, 128], attention_levels: [true, true], num_attention_heads: [2, 4]}}
data:                          # one folder twice: an arm's `subset.clips` leaves Stage I alone, which all arms share
  stills: {{folder: {clips}}}
  clips: {{folder: {clips}}}
subset: {{clips: {{}}}}
phases:
  images: {{task: images, data: stills, resolution: [32, 32], frames: 1, steps: 600, batch_size: 16, lr: 1e-3,
     p_mean: 0.6, p_std: 1.6, ema: 0.99, warmup_steps: 20}}
  videos: {{task: text_to_video, data: clips, resolution: [32, 32], frames: {frames}, steps: 250, batch_size: 4,
     lr: 1e-3, p_mean: 1.0, p_std: 1.6, ema: 0.995, warmup_steps: 20, new_layers_lr_scale: 4.0}}
seeded: [videos]
generation: {{steps: 8, sigma_min: 0.02, sigma_max: 80.0, guidance: constant, guidance_max: 2.0}}
reference: {{folder: {held_out}, count: {count}, frames: {frames}, resolution: 32}}     # a clip each of other videos
sample: {{clips: {count}}}
score: {{}}
"""
FRAMES, LEAST_HELD_OUT, MOST_HELD_OUT = 10, 2, 64
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def write_new(name: str, clips: Path | None = None, held_out: Path | None = None) -> Path:
    """
    Write `name`.yaml into the working folder and load it once; returns its path.

    With two folders that `ablate curate` wrote it is about these, and `name`_recipe.yaml stands beside it. Raises
    AblateError if the name is no plain word, belongs to a packaged spec, a file exists or a folder has no clips.
    """
    if not NAME.fullmatch(name):
        raise AblateError(f"{name!r} cannot name a spec; use letters, digits, _ and -, the first no sign")
    path = Path(f"{name}.yaml")
    if whose := taken(path):
        raise AblateError(f"{name!r} is {whose}, and their results would share a folder; choose another name")
    if (clips is None) != (held_out is None):
        raise AblateError("--clips and --held-out come together: what is trained on, and what is compared with")
    files = {path: TEMPLATE.format(file=path)}
    if clips and held_out:
        recipe = Path(f"{name}_recipe.yaml")
        for folder in (clips, held_out):
            if not (folder / "clips.parquet").is_file():
                raise AblateError(f"{folder} has no clips.parquet; `ablate curate VIDEOS --out {folder}` makes it")
        folders = {"clips": json.dumps(str(clips)), "held_out": json.dumps(str(held_out))}
        sizes = {"frames": FRAMES, "count": min(MOST_HELD_OUT, _videos(held_out))}
        files = {recipe: RECIPE.format(file=path, **folders, **sizes), path: OWN.format(file=path, recipe=recipe)}
    for each in files:
        if each.exists():
            raise AblateError(f"{each} exists already and is left as it is; choose another name")
    for each, text in files.items():
        with each.open("x", encoding="utf-8") as file:
            file.write(text)
    try:
        load(str(path))
    except AblateError:
        for each in files:
            each.unlink()
        raise
    return path


def _videos(held_out: Path) -> int:
    """Videos of a folder that a clip can be held out of. Raises AblateError for too few."""
    from svd_core.curation.choice import one_of_a_video

    try:
        videos = len(one_of_a_video(held_out, FRAMES))
    except ValueError as error:
        raise AblateError(str(error)) from error
    if videos < LEAST_HELD_OUT:
        raise AblateError(f"{held_out} has clips of {videos} video; FVD compares sets of {LEAST_HELD_OUT} at the least")
    return videos
