"""How the figures look: colours safe for the colour-blind, little ink, a page's width."""

import os
from io import BytesIO
from pathlib import Path

from PIL import Image

from gs_esd.errors import UserError
from gs_esd.system.atomic import atomic_write

try:
    from matplotlib import rcParams
    from matplotlib.axes import Axes as Axes
    from matplotlib.figure import Figure
except ImportError as error:
    message = "the image needs matplotlib: pip install -c constraints.txt -e '.[examples]'"
    raise UserError(message) from error

DOCS = Path(__file__).parents[1] / "docs" / "images"
"""Where the images of README.md and docs/ are."""
P = "0.82"
"""p, the prior: grey."""
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
"""Four of Okabe and Ito's colours, which differ for every kind of sight and in grey."""
SERIES = (BLUE, VERMILION, GREEN, PURPLE)
QUIET = "0.45"
"""Axes, ticks and what stands in the background."""

rcParams.update(
    {
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.edgecolor": QUIET,
        "axes.linewidth": 0.6,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "xtick.color": QUIET,
        "ytick.color": QUIET,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "legend.frameon": False,
        "legend.fontsize": 9,
        "lines.linewidth": 1.5,
        "savefig.dpi": 150,
    }
)


def new_figure(width: float, height: float) -> Figure:
    """An empty white figure of some inches, whose parts make room for each other."""
    return Figure(figsize=(width, height), layout="constrained", facecolor="white")


def without_frame(axes: Axes) -> None:
    """Leave only what is drawn, no axes."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def save(figure: Figure, path: Path) -> None:
    """Write a PNG of at most 256 colours, which halves it, and print its name."""
    drawn = BytesIO()
    figure.savefig(drawn, format="png")
    with atomic_write(path) as partial:
        Image.open(drawn).convert("RGB").quantize(256).save(partial, format="PNG", optimize=True)
    print(f"drawn: {os.path.relpath(path)}")
