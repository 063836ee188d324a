"""Images and videos of runs as data URIs, which make the page one file."""

import base64
import io
from pathlib import Path

from PIL import Image, UnidentifiedImageError

QUALITY = 85
"""Of JPEG: as good to look at as the PNG, a tenth of its size."""
ROWS = 2
"""Of the contact sheet that preview.png is; its images are square."""


def video_uri(folder: Path) -> str:
    """A run's turntable, or nothing."""
    file = folder / "turntable.mp4"
    return _uri("video/mp4", file.read_bytes()) if file.exists() else ""


def preview_uris(folder: Path) -> tuple[str, str]:
    """The first image of a run's contact sheet, and all of it; nothing where it cannot be read.

    The first image is where the turntable begins.
    """
    try:
        with Image.open(folder / "preview.png") as image:
            sheet = image.convert("RGB")
    except (OSError, UnidentifiedImageError):
        return "", ""
    side = max(1, sheet.height // ROWS)
    return _jpeg(sheet.crop((0, 0, side, side))), _jpeg(sheet)


def _jpeg(image: Image.Image) -> str:
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=QUALITY)
    return _uri("image/jpeg", encoded.getvalue())


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
