"""The options by which commands are told of CLIP."""

import argparse
from pathlib import Path

from gs_esd.evaluation.clip import Clip
from gs_esd.evaluation.measure_clip import Rivals, read_rivals
from gs_esd.priors.hub.vision import DEFAULT_CLIP


def add_clip_options(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Add the options that `load_clip` reads; default: the CLIP without --clip, None for none."""
    parser.add_argument(
        "--clip",
        metavar="MODEL",
        default=default,
        help="have CLIP look: a folder in transformers' format, or a name on the Hub "
        f"({DEFAULT_CLIP})",
    )
    parser.add_argument("--clip-revision", metavar="REVISION", help="a branch, tag or commit of it")
    parser.add_argument(
        "--rivals",
        type=Path,
        metavar="FILE",
        help="wrong answers for R-precision: a text file with one prompt a line",
    )


def load_clip(options: argparse.Namespace) -> tuple[Clip, Rivals | None]:
    """CLIP and the rivals that the options name. Raises UserError where they are not to be had."""
    clip = Clip.load(options.clip, options.clip_revision)
    return clip, None if options.rivals is None else read_rivals(options.rivals, clip)
