"""Convert a splat: python -m gs_esd.export splats.ply OUT.

By OUT's ending: .ply (the standard 3DGS file), .compressed.ply (PlayCanvas', a quarter of the
size), .splat (antimatter15's, 32 bytes a Gaussian, one colour from all sides) or .glb (glTF with
KHR_gaussian_splatting). Standard files of other programs are read as well.
"""

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.nn import ParameterDict

from gs_esd.errors import UserError
from gs_esd.export.axes import FileAxes
from gs_esd.export.compressed_ply import save_compressed_ply
from gs_esd.export.frames import pad_sh
from gs_esd.export.glb import save_glb
from gs_esd.export.ply import load_metadata, load_ply, save_ply
from gs_esd.export.splat import save_splat

UPS = [up.value for up in FileAxes]


def main() -> None:
    """Parse the command line and convert."""
    options = _options()
    try:
        convert(options)
    except UserError as error:
        sys.exit(f"error: {error}")
    print(options.output)


def convert(options: argparse.Namespace) -> None:
    """Read the one file and write the other, as the command line says.

    Raises UserError for a file that cannot be read or written, and an ending that is not known.
    """
    up = None if options.up is None else FileAxes(options.up)
    from_up = None if options.from_up is None else FileAxes(options.from_up)
    check_output(options.output, up)
    splats = load_ply(options.input, from_up, options.activated)
    if options.pad_sh:
        splats["shN"].data = pad_sh(splats["shN"].data)
    save(splats, options.output, up, load_metadata(options.input))


def check_output(path: Path, up: FileAxes | None) -> None:
    """Raise UserError unless `save` knows a file of this name and frame."""
    if not path.name.endswith((".ply", ".splat", ".glb")):
        raise UserError(
            f"{path.name} does not say which format: end it in .ply, .compressed.ply, .splat, .glb"
        )
    if path.suffix == ".glb" and up not in (None, FileAxes.y_up):
        raise UserError(f"glTF is y-up, it cannot be {up.value}: leave out --up")


def save(
    splats: ParameterDict, path: Path, up: FileAxes | None, metadata: Mapping[str, Any]
) -> None:
    """Write splats in the format that the file's ending says, by default in its usual frame."""
    name = path.name
    if name.endswith(".glb"):
        save_glb(splats, path, metadata)
    elif name.endswith(".splat"):
        save_splat(splats, path, up or FileAxes.y_down)
    elif name.endswith(".compressed.ply"):
        save_compressed_ply(splats, path, up or FileAxes.y_down, metadata)
    else:
        save_ply(splats, path, up or FileAxes.y_down, metadata)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m gs_esd.export", description=__doc__)
    parser.add_argument("input", type=Path, help="a standard 3DGS .ply, text or binary")
    parser.add_argument("output", type=Path, help="*.ply, *.compressed.ply, *.splat or *.glb")
    parser.add_argument(
        "--up",
        choices=UPS,
        help="OUT's frame: y-down is what viewers expect of .ply and .splat and the default, "
        "z-up is Blender's, y-up is glTF's",
    )
    parser.add_argument(
        "--from-up",
        choices=UPS,
        help="the input's frame; files of gs-esd say theirs, others are taken to be y-down",
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
    return parser.parse_args()
