"""A run of the trainer that ends with a verdict rather than with files."""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra import compose, initialize_config_dir

from benchmarks.quality.judge import Verdict, judge
from gs_esd.build import hydra_schema
from gs_esd.build.components import Components, build_components
from gs_esd.config.options import Config
from gs_esd.export.images import contact_sheet, save_png
from gs_esd.trainer import Trainer

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
SHOWN = 8
"""Renderings in a run's image, side by side."""


@dataclass(frozen=True)
class Evaluated:
    """What came of a splat, of how many Gaussians it is, and how long it took."""

    verdict: Verdict
    gaussians: int
    seconds: float


def judged_run(
    config: Config,
    animal: str,
    image: Path,
    *,
    make: Callable[[Config], Components] = build_components,
    watch: Callable[[int, dict[str, float]], object] = lambda step, scalars: None,
) -> Evaluated:
    """Make one splat, compare it with an animal's true views, and keep its image.

    make: the parts of the run.
    watch: told of the scalars of every step, with the number of steps done.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, Path(folder), make(config))
        while trainer.step < config.steps:
            scalars = trainer.train_step()
            watch(trainer.step, scalars)
    seconds = time.monotonic() - started
    splats = trainer.components.splats
    verdict = judge(splats, trainer.components.orbit, animal)
    image.parent.mkdir(parents=True, exist_ok=True)
    every = len(verdict.renderings) // SHOWN
    save_png(image, contact_sheet(verdict.renderings[::every], columns=SHOWN))
    return Evaluated(verdict, len(splats["means"]), round(seconds, 1))


def configured(overrides: Sequence[str]) -> Config:
    """The configuration of a command line."""
    hydra_schema.register_schema()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return hydra_schema.to_config(compose("config", list(overrides)))


def job_options(
    doc: str, animals: Sequence[str], lambdas: Sequence[float]
) -> argparse.ArgumentParser:
    """A parser that knows which runs a benchmark makes and how many side by side.

    doc: the benchmark's docstring, whose first line describes it.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--animals", nargs="+", default=animals)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--lambdas", nargs="+", type=float, default=lambdas)
    parser.add_argument("--processes", type=int, default=2)
    return parser


def add_study_options(parser: argparse.ArgumentParser, name: str) -> None:
    """A name, for benchmarks that are run in several ways: see `parse_study`."""
    parser.epilog = "Words such as prior.guidance_scale=1 are for every run, as train.py takes them"
    parser.add_argument("--name", default=name, help="of the files that are written")


def parse_study(parser: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Namespace:
    """The options of a command line, and as `overrides` those of train.py, wherever they stand."""
    overrides = [word for word in words if "=" in word and not word.startswith("-")]
    options = parser.parse_args([word for word in words if word not in overrides])
    options.overrides = overrides
    return options
