"""Train and evaluate: a run of the trainer that ends with numbers instead of files."""

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from hydra import compose, initialize_config_dir
from torch.nn import ParameterDict

from benchmarks.quality.view_evaluation import ViewEvaluation, evaluate_views
from gs_esd.build import hydra_schema
from gs_esd.build.components import Components, build_components
from gs_esd.config.options import Config
from gs_esd.export.images import contact_sheet, save_png
from gs_esd.trainer import Trainer

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results"
IMAGE_COLUMNS = 8
"""Renderings in a run's image, side by side."""


@dataclass(frozen=True)
class EvaluatedRun:
    """A run's splats, their evaluation and number of Gaussians, and how long the run took.

    Of several particles, evaluated are the first.
    """

    views: ViewEvaluation
    gaussians: int
    seconds: float
    particles: list[ParameterDict]


def train_and_evaluate(
    config: Config,
    animal: str,
    image: Path,
    *,
    make: Callable[[Config], Components] = build_components,
    watch: Callable[[int, dict[str, float]], object] = lambda step, scalars: None,
) -> EvaluatedRun:
    """Train splats, compare them with an animal's true views, and write an image of them.

    Args:
        config: The run.
        animal: What its prompt names.
        image: The file of the image.
        make: Builds the components of the run.
        watch: Called after every step with the number of steps done and the step's scalars.
    """
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, Path(folder), make(config))
        while trainer.step < config.steps:
            scalars = trainer.train_step()
            watch(trainer.step, scalars)
    seconds = time.monotonic() - started
    particles = [particle.splats for particle in trainer.components.particles]
    views = evaluate_views(particles[0], trainer.components.orbit, animal)
    image.parent.mkdir(parents=True, exist_ok=True)
    every = len(views.renderings) // IMAGE_COLUMNS
    save_png(image, contact_sheet(views.renderings[::every], columns=IMAGE_COLUMNS))
    return EvaluatedRun(views, len(particles[0]["means"]), round(seconds, 1), particles)


def configured(overrides: Sequence[str]) -> Config:
    """The configuration that a command line gives, from words such as "prior=tiny"."""
    hydra_schema.register_schema()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        return hydra_schema.to_config(compose("config", list(overrides)))


def median(values: Sequence[float]) -> float:
    """The median; of an even number of values, the mean of the middle two."""
    return float(torch.tensor(values, dtype=torch.float64).quantile(0.5))


def job_options(
    doc: str, animals: Sequence[str], lambdas: Sequence[float]
) -> argparse.ArgumentParser:
    """A parser for which runs a benchmark makes, and how many at once.

    Args:
        doc: The benchmark's docstring, whose first line describes it.
        animals: Those without --animals.
        lambdas: Those without --lambdas.
    """
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--animals", nargs="+", default=animals)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--lambdas", nargs="+", type=float, default=lambdas)
    parser.add_argument("--processes", type=int, default=2)
    return parser


def add_study_options(parser: argparse.ArgumentParser, name: str) -> None:
    """Add --name, for benchmarks that are run in several ways; see `parse_study`."""
    parser.epilog = "Words such as prior.guidance_scale=1 are for every run, as train.py takes them"
    parser.add_argument("--name", default=name, help="of the files that are written")


def parse_study(parser: argparse.ArgumentParser, words: Sequence[str]) -> argparse.Namespace:
    """Parse a command line; the options of train.py, in any place, become `overrides`."""
    overrides = [word for word in words if "=" in word and not word.startswith("-")]
    options = parser.parse_args([word for word in words if word not in overrides])
    options.overrides = overrides
    return options
