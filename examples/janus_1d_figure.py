"""The image of examples/janus_1d.py: how renderings move, and what they are spread like then."""

from collections.abc import Sequence
from pathlib import Path

from examples.figure import BLUE, DOCS, VERMILION, Axes, P, new_figure, save
from examples.janus_1d import Run
from examples.two_modes import BACK, GRID, prior_density, rendered_density, spread_of

IMAGE = DOCS / "janus_1d.png"


def draw(runs: Sequence[Run], path: Path) -> None:
    """A column for each λ: the renderings' paths above, with the densities at the end below."""
    figure = new_figure(9, 4.4)
    rows = figure.subplots(2, len(runs), sharex=True, sharey="row")
    for paths, densities, run in zip(*rows, runs, strict=True):
        paths.set_title(f"λ = {run.lam:g}")
        _draw_paths(paths, run)
        _draw_densities(densities, run)
    rows[0, 0].set_ylabel("step")
    rows[0, 0].invert_yaxis()
    rows[1, 0].set_ylabel("density")
    rows[1, len(runs) // 2].set_xlabel("rendering x₀")
    handles, labels = rows[1, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4)
    save(figure, path)


def _draw_paths(axes: Axes, run: Run) -> None:
    """Downward with the steps, in one colour those that end in front and in another the others."""
    for path in run.path.T:
        color = VERMILION if path[-1] > BACK else BLUE
        axes.plot(path, range(len(path)), color=color, lw=0.6, alpha=0.8)


def _draw_densities(axes: Axes, run: Run) -> None:
    """p and q, both with a little noise, and the renderings themselves below."""
    axes.fill_between(GRID, prior_density(GRID), color=P, lw=0, label="p, prior")
    axes.plot(GRID, rendered_density(GRID, run.end), color="black", lw=1, label="q, renderings")
    for where, color, label in (
        (run.end <= BACK, BLUE, "those in front"),
        (run.end > BACK, VERMILION, "those in the back"),
    ):
        x = run.end[where]
        axes.plot(x, [-0.15] * len(x), "|", ms=7, mew=0.8, color=color, label=label)
    spread = spread_of(run.end)
    said = f"H[q] = {spread.entropy:.2f},  KL = {spread.divergence:.2f}".replace("-", "−")
    axes.set_title(said, fontsize=9)
    axes.set_xlim(-1, 2)
    axes.set_xticks([0, 1], labels=["0\nfront", "1\nback"])
