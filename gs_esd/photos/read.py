"""Decoding photographs: upright, 8 bits, and no larger than needed. Imports no torch."""

import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from gs_esd.photos.files import FORMATS

MIN_READ_PIXELS = 512
"""Longer side to which larger photographs are reduced when they are read, at least."""
DRAFT_FRACTION = 0.75
"""Least longer side of JPEGs that are decoded at a lower resolution, relative to what is asked for:
at half of its size, a photograph is decoded in a third of the time, and not resized after it."""
CACHE_BYTES = 1e9
"""Memory for decoded photographs; the others are decoded again when they are needed."""

DAMAGED = (OSError, SyntaxError, ValueError, EOFError, struct.error)
"""What Pillow raises for files that are damaged or no image."""


class UnreadablePhotoError(Exception):
    """A photograph cannot be used; the message is the reason, without the file's name."""


@dataclass(frozen=True)
class Photo:
    """A decoded photograph."""

    image: Image.Image
    """RGB, or RGBA with straight alpha; upright."""
    size: tuple[int, int]
    """Width and height of the upright original in pixels."""


def read_photo(file: Path, pixels: int) -> Photo:
    """Read a photograph, upright, with at most `pixels` a side; of animations the first frame.

    Raises:
        UnreadablePhotoError: the file is damaged, not an image, or too large.
    """
    _register_heif(file)
    formats = sorted(set(FORMATS.values()))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(file, formats=[each for each in formats if each in _known()])
        with image:
            return _decode(image, pixels)
    except Image.DecompressionBombError as error:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6
        raise UnreadablePhotoError(
            f"it has more than the {most:.0f} million pixels that are read; reduce it first"
        ) from error
    except MemoryError as error:
        raise UnreadablePhotoError("it takes too much memory; reduce it first") from error
    except UnidentifiedImageError as error:
        raise UnreadablePhotoError(f"it is damaged or none of {', '.join(formats)}") from error
    except DAMAGED as error:
        reason = str(error).replace(repr(str(file)), "the file").replace(str(file), "the file")
        raise UnreadablePhotoError(f"it cannot be read ({reason})") from error


def _register_heif(file: Path) -> None:
    if FORMATS.get(file.suffix.lower()) == "HEIF":
        from pillow_heif import register_heif_opener

        register_heif_opener()


def _known() -> set[str]:
    Image.init()
    return set(Image.ID)


def _decode(image: Image.Image, pixels: int) -> Photo:
    turned = image.getexif().get(0x0112, 1) >= 5  # by a quarter, either way
    size = image.size[::-1] if turned else image.size
    reduction = max(1, max(image.size) / (DRAFT_FRACTION * pixels))
    # Decodes large JPEGs at a half, quarter or eighth: Pillow compares both sides.
    image.draft("RGB", (int(image.width / reduction) or 1, int(image.height / reduction) or 1))
    kind = "RGBA" if image.has_transparency_data else "RGB"
    image = to_8_bit(ImageOps.exif_transpose(image)).convert(kind)
    image.thumbnail((pixels, pixels), Image.Resampling.LANCZOS)
    return Photo(image, size)


def to_8_bit(image: Image.Image) -> Image.Image:
    """Scale a 16-bit grey image to 8 bits, which Pillow would clip; others are unchanged.

    Raises:
        UnreadablePhotoError: the pixels are floating-point numbers, of which the range is unknown.
    """
    if image.mode == "F":
        raise UnreadablePhotoError("its pixels are floating-point numbers; convert it to 8 bits")
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


class PhotoCache:
    """Photographs by number, decoded when first needed and kept while CACHE_BYTES suffice."""

    def __init__(self, read: Callable[[int], Photo]) -> None:
        """Start empty; `read` decodes the photograph of a number."""
        self._read = read
        self._kept: dict[int, Photo] = {}
        self._bytes = 0

    def get(self, i: int) -> Photo:
        """Photograph i, kept for the next time if there is room."""
        if i in self._kept:
            return self._kept[i]
        photo = self._read(i)
        size = _bytes(photo)
        if self._bytes + size <= CACHE_BYTES:
            self._kept[i] = photo
            self._bytes += size
        return photo

    def take(self, i: int) -> Photo:
        """Photograph i, kept no longer."""
        photo = self._kept.pop(i, None)
        if photo is None:
            return self._read(i)
        self._bytes -= _bytes(photo)
        return photo


def _bytes(photo: Photo) -> int:
    width, height = photo.image.size
    return width * height * len(photo.image.getbands())
