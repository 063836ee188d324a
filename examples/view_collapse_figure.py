"""The image of examples/view_collapse.py: coherence against λ, and renderings beside it."""

from collections.abc import Sequence
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from examples.figure import DOCS, QUIET, SERIES, Axes, new_figure, save
from examples.view_collapse import Outcome, image_of

MARKERS = "osD^"
"""With the colours, for animals in turn."""
APART = 0.018
"""How far animals lie from each other along λ, where they would hide each other."""
GAP = 10
"""White pixels between the rows of renderings."""


def draw(outcomes: Sequence[Outcome], name: str) -> None:
    """A row for each schedule of λ: what came of every run, and what one animal looks like."""
    schedules = list(dict.fromkeys(outcome.schedule for outcome in outcomes))
    figure = new_figure(9, 3.3 * len(schedules) + 0.3)
    rows = figure.subplots(len(schedules), 2, squeeze=False, width_ratios=[1, 1.45])
    for (coherences, images), schedule in zip(rows, schedules, strict=True):
        these = [outcome for outcome in outcomes if outcome.schedule == schedule]
        _draw_coherences(coherences, these)
        if len(schedules) > 1:
            coherences.set_title(f"λ {schedule.replace('_', '-')}")
        _draw_renderings(images, these, name)
    handles, labels = rows[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=len(labels), columnspacing=1.2)
    save(figure, DOCS / f"{name}.png")


def _draw_coherences(axes: Axes, outcomes: Sequence[Outcome]) -> None:
    """A point for each run, and a line through the medians of each animal."""
    animals = sorted({outcome.animal for outcome in outcomes})
    for number, animal in enumerate(animals):
        these = [outcome for outcome in outcomes if outcome.animal == animal]
        shift = APART * (number - 0.5 * (len(animals) - 1))
        color = SERIES[number % len(SERIES)]
        x, y = zip(*((each.lambda_esd + shift, each.coherence) for each in these), strict=True)
        marker = MARKERS[number % len(MARKERS)]
        axes.plot(x, y, marker, ms=4.5, color=color, mew=0, alpha=0.8, label=animal)
        lambdas = sorted({each.lambda_esd for each in these})
        middle = [median(e.coherence for e in these if e.lambda_esd == lam) for lam in lambdas]
        axes.plot([lam + shift for lam in lambdas], middle, color=color, lw=1, alpha=0.7)
    ticks = sorted({outcome.lambda_esd for outcome in outcomes})
    axes.set_xticks(ticks, labels=[f"{lam:g}" for lam in ticks])
    axes.set_xlabel("λ")
    axes.set_ylabel("coherence of the views")
    axes.set_ylim(-0.03, 1.05)
    axes.set_yticks([0, 0.5, 1], labels=["0", "0.5", "1"])


def _draw_renderings(axes: Axes, outcomes: Sequence[Outcome], name: str) -> None:
    """The first animal from eight sides, a row a λ, as far as this machine made it."""
    first = min(outcomes, key=lambda outcome: (outcome.animal, outcome.seed))
    rows = {
        outcome.lambda_esd: np.asarray(Image.open(path).convert("RGB"))
        for outcome in sorted(outcomes, key=lambda outcome: outcome.lambda_esd)
        if (outcome.animal, outcome.seed) == (first.animal, first.seed)
        and (path := _image(outcome, name)).exists()
    }
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xticks([])
    axes.set_yticks([])
    if not rows:
        return
    axes.imshow(_stacked(list(rows.values())), interpolation="lanczos")
    height = next(iter(rows.values())).shape[0]
    centres = [number * (height + GAP) + height / 2 for number in range(len(rows))]
    axes.set_yticks(centres, labels=[f"λ = {lam:g}" for lam in rows], color="black")
    axes.set_xlabel(f"{first.animal}, seed {first.seed}, from eight sides", color=QUIET)


def _image(outcome: Outcome, name: str) -> Path:
    return image_of(name, outcome.schedule, outcome.lambda_esd, outcome.animal, outcome.seed)


def _stacked(rows: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Images of equal size below each other, on white."""
    gap = np.full((GAP, *rows[0].shape[1:]), 255, np.uint8)
    return np.concatenate([part for row in rows for part in (row, gap)][:-1])
