"""What does each regulariser do? Runs the zoo with one at a time, and makes the table.

    python -m benchmarks.quality.regularizers                      the corgi, seed 0
    ... --animals corgi panda --seeds 0 1 --cases none clamp scale tv_color
    ... --name regularizers_guided prior=tiny prior.guidance_scale=7.5

A run is what `python train.py prompt="a corgi" ...` does with the overrides given and those of its
case, less the exported files. Each regulariser is alone at its weight in conf/prior/diffusers.yaml
(where that is 0, at another system's) and at ten times that: the gradient of the zoo's exact scores
is of the order of Stable Diffusion's at a guidance scale of 1 to 10, which is not known better
without it.

Sides in place and PSNR are those of view_evaluation.py. Besides,

    needles     Gaussians whose longest axis is more than MAX_RATIO times the middle one
    flakes      those whose middle axis is more than MAX_RATIO times the shortest
    too bright  pixels of renderings where a colour is more than alpha, and a viewer clips

Finished runs are kept in a file of JSON lines and not made again; delete it after a change.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import torch
from torch.nn import ParameterDict

from benchmarks.kept import complete
from benchmarks.quality.evaluated_run import (
    RESULTS,
    add_study_options,
    configured,
    parse_study,
    train_and_evaluate,
)
from benchmarks.quality.view_evaluation import NUM_RENDERINGS
from gs_esd.cameras.orbit import make_orbit, turntable
from gs_esd.config.options import CamerasConfig
from gs_esd.evaluation.zoo import RESOLUTION
from gs_esd.render.renderings import render

MAX_RATIO = 10.0
ROUNDING = 1e-4
"""By which a colour of 1 may exceed alpha."""
WEIGHTS = {
    "opacity": 0.3,
    "scale": 1.0,
    "scale_ratio": 0.1,
    "position": 0.75,
    "sparsity": 0.75,
    "opaque": 0.75,
    "tv_color": 0.75,
    "tv_depth": 0.75,
}
"""Those of conf/prior/diffusers.yaml, which has them from threestudio-3dgs; position, sparsity and
tv_depth are that system's 1, scaled likewise, scale_ratio is splatfacto's, opaque is a guess."""
PRESET = ("opacity", "scale", "tv_color")
CASES: dict[str, list[str]] = {
    "none": [],
    "clamp": ["clamp_renderings=true"],
    **{
        f"{name}{suffix}": [f"regularizers.{name}={factor * weight:g}"]
        for name, weight in WEIGHTS.items()
        for suffix, factor in (("", 1), ("_x10", 10))
    },
    "preset": [
        "clamp_renderings=true",
        *(f"regularizers.{name}={WEIGHTS[name]:g}" for name in PRESET),
    ],
}
"""Overrides by the name of a case."""


@dataclass(frozen=True)
class Outcome:
    """What came of one run; shares are fractions."""

    animal: str
    seed: int
    case: str
    in_place: int
    psnr_db: float
    gaussians: int
    needles: float
    flakes: float
    too_bright: float
    seconds: float


def main() -> None:
    """Run what is not yet there and print the table."""
    options = _options()
    jobs = list(product(options.animals, options.seeds, options.cases))
    kept, processes = RESULTS / f"{options.name}.jsonl", options.processes
    make = partial(run, name=options.name, overrides=options.overrides)
    table = to_table(complete(kept, Outcome, jobs, make, _job_of, processes))
    (RESULTS / f"{options.name}.md").write_text(table, encoding="utf-8")
    print(table)


def run(animal: str, seed: int, case: str, *, name: str, overrides: Sequence[str]) -> Outcome:
    """Train splats on one thread and evaluate them; `name` is that of the folder of images."""
    words = [f"prompt=a {animal}", f"seed={seed}", "hardware.threads=1", *overrides, *CASES[case]]
    image = RESULTS / name / f"{animal}-{case}-seed{seed}.png"
    evaluated = train_and_evaluate(configured(words), animal, image)
    needles, flakes = elongated(evaluated.particles[0])
    return Outcome(
        animal,
        seed,
        case,
        evaluated.views.in_place,
        round(evaluated.views.psnr_db, 2),
        evaluated.gaussians,
        round(needles, 4),
        round(flakes, 4),
        round(too_bright(evaluated.particles[0]), 4),
        evaluated.seconds,
    )


@torch.no_grad()
def elongated(splats: ParameterDict) -> tuple[float, float]:
    """The shares of needles and of flakes among Gaussians."""
    shortest, middle, longest = splats["scales"].exp().sort(dim=-1).values.unbind(-1)
    needles, flakes = longest > MAX_RATIO * middle, middle > MAX_RATIO * shortest
    return float(needles.float().mean()), float(flakes.float().mean())


@torch.no_grad()
def too_bright(splats: ParameterDict) -> float:
    """The share of pixels from all around in which a premultiplied colour is above alpha."""
    orbit = make_orbit(CamerasConfig())
    elevation = 0.5 * (orbit.elevation_min + orbit.elevation_max)
    renderings = render(splats, turntable(NUM_RENDERINGS, elevation, orbit, RESOLUTION))
    return float((renderings.rgb > renderings.alpha + ROUNDING).any(dim=-1).float().mean())


def to_table(outcomes: list[Outcome]) -> str:
    """A Markdown table with a row a case: medians over animals and seeds."""
    columns = ["case", "runs", "sides of 16", "PSNR dB", "Gaussians"]
    columns += ["needles %", "flakes %", "too bright %"]
    lines = [f"| {' | '.join(columns)} |", "|---" * len(columns) + "|"]
    for case in CASES:
        if these := [outcome for outcome in outcomes if outcome.case == case]:
            lines.append(f"| {case} | {len(these)} | {' | '.join(_cells(these))} |")
    return "\n".join(lines) + "\n"


def _cells(outcomes: list[Outcome]) -> list[str]:
    formats = (
        ("in_place", 1, "g"),
        ("psnr_db", 1, ".2f"),
        ("gaussians", 1, ".0f"),
        ("needles", 100, ".1f"),
        ("flakes", 100, ".1f"),
        ("too_bright", 100, ".1f"),
    )
    return [
        format(factor * _median([getattr(each, key) for each in outcomes]), digits)
        for key, factor, digits in formats
    ]


def _median(values: list[float]) -> float:
    return float(torch.tensor(values, dtype=torch.float64).quantile(0.5))


def _job_of(outcome: Outcome) -> tuple[str, int, str]:
    return outcome.animal, outcome.seed, outcome.case


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--animals", nargs="+", default=["corgi"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--processes", type=int, default=1)
    add_study_options(parser, "regularizers")
    return parse_study(parser, sys.argv[1:])


if __name__ == "__main__":
    main()
