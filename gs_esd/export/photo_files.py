"""Photographs as other programs find them: files, sizes, and intrinsics in their own pixels.

Notation
    M       number of photographs
    R       pixels a side of the square that is cut out of each of them
    crops   left, top and side of that square, in pixels of the upright photograph

Other programs read a photograph as it is stored: they turn none upright, COLMAP ends a name in its
text files at the first space (src/colmap/scene/reconstruction_io_text.cc), and few read HEIC, RAW
or frames of videos. Where one of the photographs would be misread, upright copies of all are
written, under names without spaces.
"""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch
from jaxtyping import Float, Int
from PIL import Image, ImageOps
from torch import Tensor

from gs_esd.errors import UserError
from gs_esd.system.atomic import atomic_write

READ_EVERYWHERE = (".png", ".jpg", ".jpeg")
"""Endings of the formats that every program reads."""
ORIENTATION_TAG = 0x0112
"""EXIF's; 1 is upright."""
COPY_QUALITY = 95
"""Of JPEG copies."""


@dataclass(frozen=True)
class PhotoFiles:
    """Where M photographs are, and their sizes.

    Attributes:
        folder: that names are relative to.
        names: of each file, with forward slashes.
        sizes: width and height in pixels.
    """

    folder: Path
    names: tuple[str, ...]
    sizes: Int[Tensor, "M 2"]

    def path(self, index: int) -> Path:
        """The file of one photograph."""
        return self.folder / self.names[index]


def original_intrinsics(
    Ks: Float[Tensor, "M 3 3"], crops: Float[Tensor, "M 3"], resolution: int
) -> Float[Tensor, "M 3 3"]:
    """Intrinsics in pixels of the photographs from those in pixels of their squares, in float64.

    Args:
        Ks: in pixels of the squares.
        crops: left, top and side of the squares, in pixels of the photographs.
        resolution: R, pixels a side of the squares.
    """
    left, top, side = crops.double().cpu().unbind(dim=1)
    scale, zero, one = side / resolution, torch.zeros_like(side), torch.ones_like(side)
    original_from_square = torch.stack(
        [scale, zero, left, zero, scale, top, zero, zero, one], dim=1
    ).view(-1, 3, 3)
    return original_from_square @ Ks.detach().double().cpu()


def open_upright(path: Path) -> Image.Image:
    """Read an image file and turn it as its EXIF tag says.

    Raises:
        UserError: the file is missing, damaged or no image.
    """
    try:
        with Image.open(path) as image:
            return ImageOps.exif_transpose(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{path} cannot be read ({error}). Fix or remove the file.") from error


def readable_files(
    files: PhotoFiles, copies: Path, open_photo: Callable[[str], Image.Image] | None = None
) -> PhotoFiles:
    """The files themselves if all programs read them as they are, else copies that they read.

    Args:
        files: the photographs; sizes are of the upright ones.
        copies: the folder of the copies, if there are to be any.
        open_photo: reads a photograph upright by its name; None for image files that Pillow reads.

    Raises:
        UserError: a photograph cannot be read, or a copy cannot be written.
    """
    if all(_is_read_everywhere(files.folder, name) for name in files.names):
        return files
    opened = open_photo or (lambda name: open_upright(files.folder / name))
    names: list[str] = []
    for name in files.names:
        image = opened(name)
        is_jpeg = image.mode in ("RGB", "L", "CMYK", "YCbCr")
        names.append(_copy_name(name, ".jpg" if is_jpeg else ".png", names))
        _write_copy(image, copies / names[-1], is_jpeg)
    return PhotoFiles(copies, tuple(names), files.sizes)


def _is_read_everywhere(folder: Path, name: str) -> bool:
    if not name.lower().endswith(READ_EVERYWHERE) or re.search(r"\s", name):
        return False
    try:
        with Image.open(folder / name) as image:
            return image.getexif().get(ORIENTATION_TAG, 1) == 1
    except OSError:  # whatever opens photographs says what is wrong, or has another source
        return False


def _copy_name(name: str, suffix: str, taken: Sequence[str]) -> str:
    stem = re.sub(r"\s", "_", str(PurePosixPath(name).with_suffix("")))
    candidate, number = f"{stem}{suffix}", 1
    while candidate in taken:
        number += 1
        candidate = f"{stem}_{number}{suffix}"
    return candidate


def _write_copy(image: Image.Image, path: Path, is_jpeg: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as partial:
        if is_jpeg:
            image.convert("RGB").save(partial, format="JPEG", quality=COPY_QUALITY)
        else:
            image.convert("RGBA").save(partial, format="PNG")


def relative_path(path: Path, folder: Path) -> str:
    """A path as seen from a folder, with forward slashes; absolute on another drive."""
    resolved = path.parent.resolve() / path.name  # a file that is a link keeps its name
    try:
        return Path(os.path.relpath(resolved, folder.resolve())).as_posix()
    except ValueError:  # another drive of Windows
        return resolved.as_posix()
