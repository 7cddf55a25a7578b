"""`ablate new`: a commented starting point for a spec of one's own."""

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
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")


def write_new(name: str) -> Path:
    """
    Write `name`.yaml into the working folder and load it once; returns its path.

    Raises AblateError if the name is no plain word, belongs to a packaged spec, or the file exists.
    """
    if not NAME.fullmatch(name):
        raise AblateError(f"{name!r} cannot name a spec; use letters, digits, _ and -, the first no sign")
    path = Path(f"{name}.yaml")
    if whose := taken(path):
        raise AblateError(f"{name!r} is {whose}, and their results would share a folder; choose another name")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(TEMPLATE.format(file=path))
    except FileExistsError as error:
        raise AblateError(f"{path} exists already and is left as it is; choose another name") from error
    load(str(path))
    return path
