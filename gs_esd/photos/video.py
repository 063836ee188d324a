"""Frames of a video: evenly chosen, of neighbours the sharpest."""

import logging
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import cv2
import imageio_ffmpeg
import numpy as np
from jaxtyping import UInt8
from PIL import Image

from gs_esd.errors import UserError
from gs_esd.photos.files import MIN_PHOTOS
from gs_esd.photos.read import Photo

VIDEO_FRAMES = 120
"""Frames that are taken of a video, or all of a shorter one."""
NEIGHBOURS_FRACTION = 0.5
"""The sharpest frame is taken of this middle part of each interval, so that spacing stays even."""


def read_frames(path: Path, pixels: int, most: int | None = None) -> dict[str, Photo]:
    """Read evenly spaced frames of a video, upright, with at most `pixels` a side.

    Args:
        path: of the video, in any format of ffmpeg.
        pixels: larger frames are reduced.
        most: frames at most; VIDEO_FRAMES if None or larger.

    Returns:
        Each frame by its name, `frame_000123` after its number, in order.

    Raises:
        UserError: ffmpeg cannot read it, or it has fewer than two frames.
    """
    total = _count_frames(path)
    n = min(total, VIDEO_FRAMES, most or VIDEO_FRAMES)
    if n < MIN_PHOTOS:
        raise UserError(f"{path} has {total} frames; at least {MIN_PHOTOS} are needed")
    best: dict[int, tuple[float, int, Photo]] = {}
    for number, photo in enumerate(_frames(path, pixels)):
        interval, place = divmod(number * n, total)
        spacing = max(1, total // n)
        is_central = abs(place / total - 0.5) <= 0.5 * NEIGHBOURS_FRACTION + 0.5 / spacing
        if interval >= n or not is_central:
            continue
        sharp = sharpness(np.asarray(photo.image))
        if interval not in best or sharp > best[interval][0]:
            best[interval] = (sharp, number, photo)
    return {f"frame_{number:06}": photo for _, number, photo in best.values()}


def sharpness(rgb: UInt8[np.ndarray, "H W 3"]) -> float:
    """Variance of the Laplacian of the grey image: large for sharp ones."""
    return float(cv2.Laplacian(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.CV_32F).var())


def _count_frames(path: Path) -> int:
    try:
        frames, _ = imageio_ffmpeg.count_frames_and_secs(str(path))
    except RuntimeError as error:
        raise UserError(_unreadable(path, error)) from error
    return frames


def _frames(path: Path, pixels: int) -> Iterator[Photo]:
    """All frames in order."""
    # ffmpeg turns telephones' videos upright before it scales.
    scale = f"scale='min({pixels},iw)':'min({pixels},ih)':force_original_aspect_ratio=decrease"
    reader = imageio_ffmpeg.read_frames(
        str(path), output_params=["-vf", scale, "-loglevel", "info", "-an"]
    )
    logging.getLogger("imageio_ffmpeg").setLevel(logging.ERROR)  # else it warns of the scaling
    try:
        with closing(reader):
            meta = next(reader)
            width, height = meta["size"]
            size = _upright(meta["source_size"], meta["size"])
            for frame in reader:
                rgb = np.frombuffer(frame, np.uint8).reshape(height, width, 3)
                yield Photo(Image.fromarray(rgb), size)
    except (OSError, RuntimeError) as error:
        raise UserError(_unreadable(path, error)) from error


def _upright(source: tuple[int, int], scaled: tuple[int, int]) -> tuple[int, int]:
    """Size of the source as it is seen: turned if ffmpeg turned it."""
    is_turned = (source[0] > source[1]) != (scaled[0] > scaled[1]) and source[0] != source[1]
    return source[::-1] if is_turned else source


def _unreadable(path: Path, error: Exception) -> str:
    reason = str(error).strip().splitlines()[-1] if str(error).strip() else "no reason given"
    return (
        f"{path} cannot be read as a video ({reason}). Convert it to MP4 with H.264, or give a "
        "folder of its frames"
    )
