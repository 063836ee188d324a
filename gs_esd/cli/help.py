"""The text of --help. Hydra's own takes seconds and lists everything."""

from pathlib import Path

from gs_esd.config.commands import train_command
from gs_esd.config.kinds import GROUPS, PRESETS

_USAGE = """\
Text to a 3D Gaussian splat by Entropic Score Distillation.

  {train} prompt="a corgi"
  {train} -m prompt="a corgi" lambda_esd=0,0.5,1     one run a value
  {train} experiment=quick prompt="a corgi"          seconds, to see that it works
  {train} prompt="a corgi" --cfg job                 show every key and value, run nothing

The same command continues an interrupted run. Results: outputs/a-corgi/lam1.0-seed0

Keys, given as key=value:
  prompt           what to make
  prompts=FILE     the same, a prompt a line: a sweep
  lambda_esd       entropy weight λ: 0 is VSD, 1 matches the whole distribution of views
  seed, steps      random seed; length of the run
  negative_prompt  what to stay away from, for priors that read text
  view=true        open the viewer, in which the splat is seen growing

Kinds, given as group=kind; keys of a kind as group.key=value:
"""


def help_text(conf: Path) -> str:
    """The usage and, by the first comment of each file in conf/, all that can be chosen."""
    lines = []
    for group in ("hardware", *PRESETS, *GROUPS, "experiment", "hydra/launcher"):
        for number, file in enumerate(sorted((conf / group).glob("*.yaml"))):
            lines.append(f"  {'' if number else group:<14} {file.stem:<13} {summary(file)}")
    return _USAGE.format(train=train_command()) + "\n".join(lines)


def summary(file: Path) -> str:
    """The first comment of a file in conf/."""
    comments = (line for line in file.read_text(encoding="utf-8").splitlines() if line[:2] == "# ")
    return next(line[2:] for line in comments if not line.startswith("# @package"))
