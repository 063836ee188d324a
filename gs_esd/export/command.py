"""Convert splats between file formats: python -m gs_esd.export splats.ply OUT.

OUT's ending is the format: .ply (the standard 3DGS file), .compressed.ply (PlayCanvas', a quarter
of the size), .splat (antimatter15's, 32 bytes a Gaussian, one colour from all sides) or .glb (glTF
with KHR_gaussian_splatting). Standard files of other programs are read as well.
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch.nn import ParameterDict

from gs_esd.config.commands import program
from gs_esd.errors import UserError
from gs_esd.export.axes import FileAxes
from gs_esd.export.compressed_ply import save_compressed_ply
from gs_esd.export.frames import pad_sh
from gs_esd.export.glb import save_glb
from gs_esd.export.ply import load_metadata, load_splats, save_splats
from gs_esd.export.splat import save_splat

AXES = [axes.value for axes in FileAxes]

Save = Callable[[ParameterDict, Path, FileAxes, Mapping[str, Any]], None]

FORMATS: dict[str, tuple[Save, FileAxes]] = {
    ".compressed.ply": (save_compressed_ply, FileAxes.y_down),
    ".ply": (save_splats, FileAxes.y_down),
    ".splat": (lambda splats, path, axes, _: save_splat(splats, path, axes), FileAxes.y_down),
    ".glb": (lambda splats, path, _, metadata: save_glb(splats, path, metadata), FileAxes.y_up),
}
"""Writer and usual axes by ending; the first ending that fits counts."""


def main(arguments: Sequence[str] | None = None, prog: str | None = None) -> None:
    """Parse the command line and convert.

    Args:
        arguments: words after the program's name; by default those of the process.
        prog: name of the program in its help and errors; None for how it was started.
    """
    options = _parser(prog or program("gs_esd.export")).parse_args(arguments)
    try:
        convert(options)
    except UserError as error:
        sys.exit(f"error: {error}")
    print(options.output)


def convert(options: argparse.Namespace) -> None:
    """Read the input and write the output that the command line names.

    Raises:
        UserError: a file cannot be read or written, or its ending is no known format.
    """
    axes = None if options.up is None else FileAxes(options.up)
    from_axes = None if options.from_up is None else FileAxes(options.from_up)
    check_output(options.output, axes)
    splats = load_splats(options.input, from_axes, options.activated)
    if options.pad_sh:
        splats["shN"].data = pad_sh(splats["shN"].data)
    save(splats, options.output, axes, load_metadata(options.input))


def check_output(path: Path, axes: FileAxes | None) -> None:
    """Raise UserError unless `save` can write a file of this name in these axes."""
    _, usual_axes = _format(path)
    if path.suffix == ".glb" and axes not in (None, usual_axes):
        raise UserError(f"glTF is y-up, it cannot be {axes.value}: leave out --up")


def save(
    splats: ParameterDict, path: Path, axes: FileAxes | None, metadata: Mapping[str, Any]
) -> None:
    """Write splats in the format of the file's ending, by default in its usual axes."""
    write, usual_axes = _format(path)
    write(splats, path, axes or usual_axes, metadata)


def _format(path: Path) -> tuple[Save, FileAxes]:
    for ending, format in FORMATS.items():
        if path.name.endswith(ending):
            return format
    raise UserError(
        f"{path.name} does not say which format: end it in .ply, .compressed.ply, .splat, .glb"
    )


def _parser(prog: str) -> argparse.ArgumentParser:
    description = (__doc__ or "").replace("python -m gs_esd.export", prog)
    parser = argparse.ArgumentParser(prog=prog, description=description)
    parser.add_argument("input", type=Path, help="a standard 3DGS .ply, text or binary")
    parser.add_argument("output", type=Path, help="*.ply, *.compressed.ply, *.splat or *.glb")
    parser.add_argument(
        "--up",
        choices=AXES,
        help="axes of OUT: y-down is what viewers expect of .ply and .splat and the default, "
        "z-up is Blender's, y-up is glTF's",
    )
    parser.add_argument(
        "--from-up",
        choices=AXES,
        help="axes of the input; files of gs-esd name theirs, others are taken to be y-down",
    )
    parser.add_argument(
        "--pad-sh",
        action="store_true",
        help="add zeros up to spherical harmonics of degree 3, for programs that read no other "
        "degree, such as INRIA's viewer and some for Unity",
    )
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument(
        "--activated",
        action="store_true",
        default=None,
        help="the input holds opacities and standard deviations in the place of logits and logs",
    )
    kind.add_argument(
        "--raw",
        action="store_false",
        dest="activated",
        help="the input holds logits and logs, though it may not look so",
    )
    return parser
