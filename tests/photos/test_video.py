"""Frames of a video (gs_esd/photos/video.py)."""

import logging
import subprocess
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from gs_esd.errors import UserError
from gs_esd.photos.photo_set import load_photos, originals
from gs_esd.photos.video import read_frames, sharpness
from tests.helpers.product_photos import animals, photographs, plain

WIDTH, HEIGHT = 192, 128


def write_video(path: Path, frames: list[Image.Image], *parameters: str) -> Path:
    size = frames[0].size
    writer = imageio_ffmpeg.write_frames(
        str(path), size, macro_block_size=2, output_params=list(parameters)
    )
    writer.send(None)
    for frame in frames:
        writer.send(frame.tobytes())
    writer.close()
    return path


def frame(level: int, pattern: NDArray[np.uint8]) -> Image.Image:
    """A pattern of stripes on a grey that gives the frame's number."""
    pixels = np.full((HEIGHT, WIDTH, 3), level, np.uint8)
    pixels[40:80, 40:120] = pattern[40:80, 40:120, None]
    return Image.fromarray(pixels)


def stripes() -> NDArray[np.uint8]:
    pixels = np.zeros((HEIGHT, WIDTH), np.uint8)
    pixels[:, ::8] = pixels[:, 1::8] = pixels[:, 2::8] = pixels[:, 3::8] = 255
    return pixels


def numbers(names: list[str]) -> list[int]:
    return [int(name.removeprefix("frame_")) for name in names]


def test_sharpest_of_neighbours(tmp_path: Path) -> None:
    """All frames but some are blurred by motion; spacing stays even."""
    sharp = {2, 7, 11, 17, 22, 27, 31, 36}
    frames = []
    for i in range(40):
        image = frame(20 + 5 * i, stripes())
        frames.append(image if i in sharp else image.filter(ImageFilter.GaussianBlur(3)))
    chosen = read_frames(write_video(tmp_path / "spin.mp4", frames), 512, most=8)
    found = numbers(list(chosen))
    assert found == sorted(sharp)
    for number, photo in zip(found, chosen.values(), strict=True):
        assert photo.size == (WIDTH, HEIGHT)
        assert np.asarray(photo.image)[:20].mean() == pytest.approx(20 + 5 * number, abs=4)


def test_even_spacing(tmp_path: Path) -> None:
    frames = [frame(128, stripes()) for _ in range(100)]
    found = numbers(list(read_frames(write_video(tmp_path / "a.mp4", frames), 512, most=12)))
    assert len(found) == 12
    gaps = np.diff([*found, found[0] + 100])
    assert gaps.min() >= 3
    assert gaps.max() <= 14


def test_originals_are_frames_by_name(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", [frame(20 * i, stripes()) for i in range(10)])
    names = list(read_frames(video, 32))
    assert [originals(str(video))(name).size for name in names] == [(WIDTH, HEIGHT)] * len(names)


def test_all_frames_of_a_short_video(tmp_path: Path) -> None:
    frames = [frame(20 * i, stripes()) for i in range(7)]
    assert numbers(list(read_frames(write_video(tmp_path / "a.mp4", frames), 512))) == list(
        range(7)
    )


def test_telephone_that_was_held_upright(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The file says by how much its frames are turned."""
    video = write_video(tmp_path / "a.mp4", [frame(128, stripes())] * 4)
    turned = tmp_path / "turned.mp4"
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-display_rotation", "90"]
    subprocess.run([*command, "-i", str(video), "-c", "copy", str(turned)], check=True)
    photos = list(read_frames(turned, 96).values())
    assert photos[0].size == (HEIGHT, WIDTH)
    assert photos[0].image.size == (64, 96)
    assert caplog.records == []


def test_sharpness() -> None:
    image = frame(128, stripes())
    blurred = image.filter(ImageFilter.GaussianBlur(1))
    assert sharpness(np.asarray(image)) > 2 * sharpness(np.asarray(blurred))


def test_damaged_video(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(UserError, match=r"a\.mp4 cannot be read as a video .*Convert it to MP4"):
        read_frames(tmp_path / "a.mp4", 512)


def test_photos_of_a_video(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    spin = photographs(plain(0.9), rgba=animals(views=24))
    video = write_video(tmp_path / "spin.mp4", spin, "-crf", "12")
    photos = load_photos(str(video), 64, most=12)
    assert photos.names == tuple(sorted(photos.names))
    assert photos.rgba.shape == (12, 4, 64, 64)
    assert not photos.framed_singly
    assert (photos.rgba[:, 3] > 0.5).float().mean(dim=(1, 2)).amin() > 0.1
    assert photos.rgba[:, 3, 0].amax() == 0
