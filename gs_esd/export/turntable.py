"""Turntable video: the camera goes once around the object."""

import os
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import imageio_ffmpeg
from torch.nn import ParameterDict

from gs_esd.cameras.orbit import Orbit
from gs_esd.errors import UserError
from gs_esd.export.images import orbit_images, to_bytes
from gs_esd.system.atomic import atomic_write

MACROBLOCK_PIXELS = 16
"""H.264 codes blocks of this size; ffmpeg rescales, and blurs, images that are no multiple."""
REMEDY = "Is the disk full? Does `pip install --force-reinstall imageio-ffmpeg` help?"


def save_turntable(
    splats: ParameterDict,
    path: str | os.PathLike[str],
    orbit: Orbit,
    resolution: int,
    frames: int = 96,
    fps: int = 24,
) -> None:
    """Write an H.264 video (yuv420p, plays everywhere) of one turn, which loops seamlessly.

    Args:
        splats: raw parameters.
        path: file to write, .mp4; an old one is replaced only when all is written.
        orbit: where cameras stand.
        resolution: pixels a side, rounded up to a multiple of 16.
        frames: images of the turn.
        fps: frames a second.

    Raises:
        UserError: ffmpeg is missing or fails, or the folder cannot be written.
    """
    size = -(-resolution // MACROBLOCK_PIXELS) * MACROBLOCK_PIXELS
    with atomic_write(path) as partial:
        with closing(_h264_writer(partial, size, fps)) as writer:
            for rgb in orbit_images(splats, orbit, size, frames):
                for image in to_bytes(rgb):
                    writer.send(image.tobytes())
        if _frames_in(partial) != frames:
            raise UserError(f"ffmpeg did not finish {path}. {REMEDY}")


def _h264_writer(path: Path, size: int, fps: int) -> Generator[None, bytes, None]:
    """Started encoder; send it the RGB bytes of one image after another."""
    writer = imageio_ffmpeg.write_frames(
        path,
        (size, size),
        fps=fps,
        codec="libx264",
        pix_fmt_out="yuv420p",
        macro_block_size=MACROBLOCK_PIXELS,
        quality=7,
        ffmpeg_log_level="error",
        output_params=["-movflags", "+faststart"],
    )
    try:
        next(writer)
    except (OSError, RuntimeError) as error:
        raise UserError(f"ffmpeg does not start: {error}. {REMEDY}") from error
    return writer


def _frames_in(path: Path) -> int:
    """Frames in a finished video, 0 where it is damaged; imageio hides ffmpeg's exit status."""
    try:
        frames, _ = imageio_ffmpeg.count_frames_and_secs(str(path))
    except RuntimeError:
        return 0
    return frames
