"""Which metrics see a collapse of views? Inception metrics beside FID, of finished runs.

    python train.py prompt="a corgi" lambda_esd=0
    python train.py prompt="a corgi" lambda_esd=1
    python -m examples.collapse_metrics outputs/a-corgi/lam0.0-seed0 outputs/a-corgi/lam1.0-seed0

Prints a table with a row a run: IQ, IV, IV - IQ and IG as `gs-esd eval` gives them, and the FID of
renderings from random cameras of the run's orbit to images of the animal from cameras that favour
the front more or less, as a prior's images do (`prior.front_bias`). Features are those of the zoo's
own classifier: the distances compare with each other, and not with published ones. Takes ten
seconds a run on one thread.
"""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from gs_esd.cameras.orbit import sample_orbit
from gs_esd.errors import UserError
from gs_esd.evaluation.evaluate import Target, evaluate, find_targets
from gs_esd.evaluation.set_distances import frechet_distance
from gs_esd.evaluation.zoo import RESOLUTION, to_classifier_input
from gs_esd.export.ply import load_splats
from gs_esd.render.compositing import composite
from gs_esd.render.renderings import render
from gs_esd.system.rng import stream
from gs_esd.toyzoo.bank import draw_bank
from gs_esd.toyzoo.classifier import ZooClassifier
from gs_esd.toyzoo.prompt import parse_prompt

IMAGES = 512
"""In each set."""
FRONT_BIASES = (0.0, 0.5, 5.0)
"""Of the images that renderings are compared with: uniform, as prior=toyzoo has it, all fronts."""
BATCH = 32
WHITE = torch.ones(3)


@dataclass(frozen=True)
class CollapseMetrics:
    """Metrics of one run; `fid` has a distance for each of FRONT_BIASES."""

    name: str
    quality: float
    variety: float
    gain: float
    fid: list[float]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="run directories of zoo animals")
    try:
        targets = [target for run in parser.parse_args().runs for target in find_targets(run)]
        print(to_table([measure(target) for target in targets]))
    except UserError as error:
        sys.exit(str(error))


def measure(target: Target, images: int = IMAGES) -> CollapseMetrics:
    """All metrics of one run, from sets of some number of images."""
    numbers = evaluate(target)
    classifier = ZooClassifier.load()
    rendered = features(classifier, renderings_of(target, images))
    references = (true_images(target, front_bias, images) for front_bias in FRONT_BIASES)
    fid = [frechet_distance(rendered, features(classifier, each)).value for each in references]
    return CollapseMetrics(
        target.path.parent.name,
        numbers["inception_quality"],
        numbers["inception_variety"],
        numbers["inception_gain"],
        fid,
    )


@torch.no_grad()
def renderings_of(target: Target, images: int) -> Float[Tensor, "n H W 3"]:
    """Renderings over white from random cameras of the run's orbit."""
    splats, generator = load_splats(target.path), stream(0, "cameras")
    batches = [
        render(splats, sample_orbit(BATCH, target.orbit, RESOLUTION, generator)).over(WHITE)
        for _ in range(0, images, BATCH)
    ]
    return torch.cat(batches)[:images].clamp(0, 1)


def true_images(target: Target, front_bias: float, images: int) -> Float[Tensor, "n H W 3"]:
    """Images of the animal over white, from cameras that favour the front."""
    orbit = target.orbit
    rgba, _ = draw_bank(
        parse_prompt(target.prompt),
        images,
        RESOLUTION,
        front_bias=front_bias,
        elevation=(orbit.elevation_min, orbit.elevation_max),
        distance=orbit.distance,
        fov=orbit.fov,
        generator=stream(0, "reference"),
    )
    rgb, alpha = rgba.permute(0, 2, 3, 1).split([3, 1], dim=-1)
    return composite(rgb, alpha, WHITE)


@torch.no_grad()
def features(classifier: ZooClassifier, images: Float[Tensor, "n H W 3"]) -> Float[Tensor, "n D"]:
    """What the classifier's linear layers get of each image."""
    batches = [classifier.features(to_classifier_input(part)) for part in images.split(BATCH)]
    return torch.cat(batches)


def to_table(runs: list[CollapseMetrics]) -> str:
    """A Markdown table with a row a run."""
    distances = [f"FID, front_bias {bias:g}" for bias in FRONT_BIASES]
    head = ["run", "IQ", "IV", "IV − IQ", "IG", *distances]
    rows = [
        [
            run.name,
            *(f"{value:.2f}" for value in (run.quality, run.variety)),
            *(f"{value:.2f}" for value in (run.variety - run.quality, run.gain)),
            *(f"{value:.1f}" for value in run.fid),
        ]
        for run in runs
    ]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


if __name__ == "__main__":
    main()
