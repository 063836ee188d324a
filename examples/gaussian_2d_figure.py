"""The image of examples/gaussian_2d.py: paths of renderings, and what is kept against λ."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from examples.figure import BLUE, DOCS, QUIET, VERMILION, Axes, P, new_figure, save, without_frame
from examples.gaussian_2d import NOISE, Rest
from examples.gaussian_world import MU, SIGMA, at_rest, principal_stds

IMAGE = DOCS / "gaussian_2d.png"
COLORS = dict(zip(NOISE, (BLUE, VERMILION), strict=True))
SIZES = dict(zip(NOISE, (4.5, 3.0), strict=True))
"""Points of the second noise level lie on the first one's, where both are in the same place."""
RADIUS = 2.0
"""Rings are two standard deviations from the mean."""
RING = 20
"""Renderings shown."""


def draw(rests: Sequence[Rest], path: Path) -> None:
    """A panel for each objective, and one that sums them up."""
    paneled = [rest for rest in rests if rest.kept is None]
    objectives = list(dict.fromkeys(rest.objective for rest in paneled))
    figure = new_figure(9, 4.9)
    panels = figure.subplots(2, 4).flat
    for axes, objective in zip(panels, objectives, strict=False):
        _draw_objective(axes, [rest for rest in paneled if rest.objective == objective])
        axes.set_title(objective)
    _draw_kept(panels[len(objectives)], rests)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=5, columnspacing=1.5)
    save(figure, path)


def _draw_objective(axes: Axes, rests: Sequence[Rest]) -> None:
    """p's ellipse, the rings where renderings begin and end, and theory's as a line."""
    axes.fill(*_ellipse(MU, SIGMA), color=P, lw=0, label="p (2 standard deviations)")
    begin = rests[0].descent.renderings(_ring(RING))[0]
    axes.plot(*begin.unbind(1), "o", ms=2.5, mfc="white", mec=QUIET, mew=0.6, label="start")
    for rest in rests:
        color, size = COLORS[rest.noise], SIZES[rest.noise]
        paths = rest.descent.renderings(_ring(RING))  # [K, N, 2]
        axes.plot(*paths.unbind(2), color=color, lw=0.5, alpha=0.4, zorder=1.5)
        label = f"renderings, σ/α = {rest.noise:g}"
        axes.plot(*paths[-1].unbind(1), "o", ms=size, color=color, mew=0, label=label, zorder=3)
        theory = _ellipse(MU, at_rest(rest.lam, rest.noise**2))
        (line,) = axes.plot(*theory, color="black", lw=0.8, zorder=2)
    line.set_label("theory")
    axes.set_aspect("equal")
    axes.set_xlim(-2.45, 3.75)
    axes.set_ylim(-2.65, 2.65)
    without_frame(axes)


def _draw_kept(axes: Axes, rests: Sequence[Rest]) -> None:
    """The longer standard deviation against λ: theory's lines and what came out."""
    lam = torch.linspace(0, 1.6, 321).tolist()
    own = principal_stds(SIGMA)[0]
    axes.axhline(own, color=P, lw=4, zorder=0)
    axes.text(0.02, own + 0.05, "p", color=QUIET)
    for noise in NOISE:
        theory = [principal_stds(at_rest(each, noise**2))[0] for each in lam]
        axes.plot(lam, theory, color="black", lw=0.8)
        these = [rest for rest in rests if rest.noise == noise]
        constant = [(rest.lam, rest.measured[0]) for rest in these if rest.kept is None]
        color, size = COLORS[noise], 1.3 * SIZES[noise]
        axes.plot(*zip(*constant, strict=True), "o", ms=size, color=color, mew=0, zorder=3)
        kept = [(rest.kept, rest.measured[0]) for rest in these if rest.kept is not None]
        axes.plot(*zip(*kept, strict=True), "D", ms=size, color=color, mfc="none")
    fractions = [each for each in lam if each <= 1]
    axes.plot(fractions, [own * math.sqrt(s) for s in fractions], color="black", lw=0.8, ls=":")
    axes.text(0.62, 0.2, "dotted: λ made\nnoise-consistent", color=QUIET, fontsize=8)
    axes.set_title("longer standard deviation")
    axes.set_xlabel("λ")
    axes.set_xticks([0, 0.5, 1, 1.5], labels=["0", "0.5", "1", "1.5"])
    axes.set_yticks([0, 0.5, 1, 1.5], labels=["0", "0.5", "1", "1.5"])


def _ring(points: int) -> Float[Tensor, "N 2"]:
    """Cameras z evenly around, at RADIUS."""
    angle = torch.linspace(0, 2 * math.pi, points + 1, dtype=torch.float64)[:-1]
    return RADIUS * torch.stack([angle.cos(), angle.sin()], dim=1)


def _ellipse(
    mean: Float[Tensor, "2"], covariance: Float[Tensor, "2 2"]
) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
    """The points RADIUS standard deviations from the mean, across and up."""
    values, vectors = torch.linalg.eigh(covariance)
    around = torch.cat([_ring(200), _ring(200)[:1]])
    x, y = (mean + around * values.clamp(min=0).sqrt() @ vectors.T).unbind(1)
    return x, y
