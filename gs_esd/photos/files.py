"""Which photographs a folder has: the files that can be read, in natural order. Imports no torch.

Formats are those that cameras, telephones and image programs write. What is not read, such as RAW,
is named with a way to convert it, never passed over silently.
"""

import logging
import os
import re
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

from PIL import features

from gs_esd.config.commands import install_command
from gs_esd.errors import UserError

MIN_PHOTOS = 2
"""Fewer photographs are refused."""
ADVISED_PHOTOS = 12
"""Fewer photographs get a warning: sides of the object are missing."""
FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jfif": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".gif": "GIF",
    ".bmp": "BMP",
    ".avif": "AVIF",
    ".heic": "HEIF",
    ".heif": "HEIF",
}
"""Pillow's format of each suffix; HEIF by pillow-heif."""
RAW_SUFFIXES = frozenset(
    ".3fr .arw .cr2 .cr3 .dng .erf .kdc .mrw .nef .nrw .orf .pef .raf .raw .rw2 .srw .x3f".split()
)
OTHER_IMAGE_SUFFIXES = frozenset(
    ".eps .exr .hdr .ico .j2k .jp2 .jxl .jxr .pbm .pdf .pgm .ppm .psd .svg .tga .xcf".split()
)
VIDEO_SUFFIXES = frozenset(".avi .gif .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .webm .wmv".split())
"""Of a prior.path that is a file. In a folder, .gif is an image: the first frame."""

log = logging.getLogger(__name__)


def photo_path(path: str) -> Path:
    """The folder or video of prior.path, with ~ as the home folder.

    Raises:
        UserError: it is empty, missing, or a file that is no video.
    """
    if not path.strip():
        raise UserError(
            "prior.path is empty (an unset variable of the shell?); give the folder of your "
            "photographs, or a video: prior.path=photos/"
        )
    expanded = Path(path).expanduser()
    if expanded.is_dir() or is_video(expanded):
        return expanded
    if expanded.is_file():
        raise UserError(
            f"prior.path={path} is neither a folder nor a video ({_words(VIDEO_SUFFIXES)}); give "
            "the folder that holds your photographs"
        )
    raise UserError(
        f"prior.path={path} is not a folder; give the folder that holds your photographs "
        f"({_words(FORMATS)}), or a video ({_words(VIDEO_SUFFIXES)})"
    )


def is_video(path: Path) -> bool:
    """Whether a path is a file with the suffix of a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES and path.is_file()


def list_photos(folder: Path) -> list[Path]:
    """List the photographs below a folder in natural order of their paths: 2 before 10.

    Symbolic links to folders are followed, each folder once. Hidden files and folders and
    `__MACOSX` are skipped. Files of other formats are named in a warning, unless a photograph of
    the same name is beside them, as with RAW and JPEG of one exposure.

    Raises:
        UserError: there are fewer than MIN_PHOTOS, or a format needs a package that is missing.
    """
    files = sorted(_visible_files(folder), key=lambda file: natural_key(file.relative_to(folder)))
    photos = [file for file in files if file.suffix.lower() in FORMATS]
    photos = _without_unreadable_twins(photos)
    twins = {file.with_suffix("") for file in photos}
    others = [file for file in files if _conversion(file) and file.with_suffix("") not in twins]
    if len(photos) < MIN_PHOTOS:
        raise UserError(
            f"the number of photographs ({_words(FORMATS)}) in {folder} is {len(photos)}; at "
            f"least {MIN_PHOTOS} are needed, and 36 or more from all around give good results."
            + "".join(f"\n{line}" for line in _conversions(others))
        )
    if others:
        lines = _conversions(others)
        log.warning("\n".join(["These files are no photographs that can be read:", *lines]))
    return photos


def natural_key(path: Path) -> tuple[tuple[str | int, ...], ...]:
    """Sorting key of a path in which numbers count as numbers."""
    return tuple(
        tuple(int(each) if each.isdecimal() else each for each in re.split(r"([0-9]+)", part))
        for part in path.parts
    )


def chosen_evenly(n: int, most: int) -> list[int]:
    """Indices of at most `most` of n things, evenly spaced."""
    return [i * n // most for i in range(most)] if n > most else list(range(n))


def _visible_files(folder: Path) -> list[Path]:
    found, seen = [], set()
    for root, folders, names in os.walk(folder, followlinks=True):
        status = os.stat(root)
        if (status.st_dev, status.st_ino) in seen:  # a link back, or a second one to it
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = sorted(name for name in folders if _is_visible(name))
        found += [Path(root, name) for name in names if _is_visible(name)]
    return [file for file in found if file.is_file()]


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"


def _without_unreadable_twins(photos: list[Path]) -> list[Path]:
    """Drop HEIC and AVIF files that cannot be read here and have another photograph beside them.

    Raises:
        UserError: others cannot be read either.
    """
    unreadable = {file for file in photos if missing_package(file)}
    readable = {file.with_suffix("") for file in photos if file not in unreadable}
    alone = [file for file in unreadable if file.with_suffix("") not in readable]
    if alone:
        suffixes = Counter(file.suffix for file in alone)
        counts = ", ".join(f"{count} {suffix}" for suffix, count in sorted(suffixes.items()))
        raise UserError(
            f"{min(alone).parent} has photographs that need another package: {counts}. Install "
            f"it with {missing_package(min(alone))}, or convert them to JPEG."
        )
    return [file for file in photos if file not in unreadable]


def missing_package(file: Path) -> str | None:
    """The command that installs what a file's format needs, or None if it is there."""
    kind = FORMATS[file.suffix.lower()]
    if kind == "HEIF" and find_spec("pillow_heif") is None:
        return install_command("photos")
    if kind == "AVIF" and not features.check("avif"):
        return "pip install --upgrade pillow"
    return None


def _conversions(files: list[Path]) -> list[str]:
    """A line for each suffix: how many files, the first of them, and how to convert them."""
    lines = []
    for suffix in sorted({file.suffix for file in files}):
        own = [file for file in files if file.suffix == suffix]
        lines.append(f"  {len(own)} {suffix} ({own[0].name}): {_conversion(own[0])}")
    return lines


def _conversion(file: Path) -> str | None:
    """How to make photographs of a file of an image format that is not read; None of others."""
    suffix = file.suffix.lower()
    if suffix in RAW_SUFFIXES:
        return "develop RAW to JPEG or TIFF first, e.g. with darktable or the camera's program"
    if suffix in OTHER_IMAGE_SUFFIXES:
        return (
            "convert them to PNG or JPEG first, e.g. with ImageMagick: magick mogrify -format png"
        )
    if suffix in VIDEO_SUFFIXES - set(FORMATS):
        return f"a video is given by itself: prior.path={file}"
    return None


def _words(suffixes: dict[str, str] | frozenset[str]) -> str:
    return ", ".join(sorted(suffixes) if isinstance(suffixes, frozenset) else suffixes)
