"""Images and videos of runs as data URIs, so that the page is one file."""

import base64
import io
from pathlib import Path

from PIL import Image, UnidentifiedImageError

JPEG_QUALITY = 85
"""Looks like the PNG at a tenth of its size."""
PREVIEW_ROWS = 2
"""Rows of square images in the contact sheet that preview.png is."""


def video_uri(run_dir: Path) -> str:
    """A run's turntable; empty where there is none."""
    file = run_dir / "turntable.mp4"
    return _uri("video/mp4", file.read_bytes()) if file.exists() else ""


def preview_uris(run_dir: Path) -> tuple[str, str]:
    """The first image of a run's contact sheet, and the whole sheet; empty without one.

    The first image is where the turntable begins.
    """
    try:
        with Image.open(run_dir / "preview.png") as image:
            sheet = image.convert("RGB")
    except (OSError, UnidentifiedImageError):
        return "", ""
    side = max(1, sheet.height // PREVIEW_ROWS)
    return _jpeg(sheet.crop((0, 0, side, side))), _jpeg(sheet)


def _jpeg(image: Image.Image) -> str:
    encoded = io.BytesIO()
    image.save(encoded, "JPEG", quality=JPEG_QUALITY)
    return _uri("image/jpeg", encoded.getvalue())


def _uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"
