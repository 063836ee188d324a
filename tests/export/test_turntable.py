"""The turntable video, read back by imageio."""

from pathlib import Path

import imageio.v3 as iio
import imageio_ffmpeg
import numpy as np
import pytest
import torch

from gs_esd.cameras.orbit import Orbit
from gs_esd.errors import UserError
from gs_esd.export import turntable
from gs_esd.export.images import orbit_images, to_bytes
from gs_esd.export.turntable import save_turntable
from gs_esd.splats.parameters import init_ball

ORBIT = Orbit(distance=3.0, fov=0.7, elevation_min=0.0, elevation_max=0.5)
SPLATS = init_ball(
    50, radius=0.5, opacity=0.5, sh_degree=0, generator=torch.Generator().manual_seed(0)
)


def test_video_frames_size_and_codec(tmp_path: Path) -> None:
    path = tmp_path / "turntable.mp4"
    save_turntable(SPLATS, path, ORBIT, resolution=50, frames=12, fps=24)
    frames = iio.imread(path, plugin="FFMPEG")
    assert frames.shape == (12, 64, 64, 3)
    metadata = next(imageio_ffmpeg.read_frames(path))
    assert metadata["codec"] == "h264"
    assert metadata["pix_fmt"].startswith("yuv420p")
    assert metadata["fps"] == 24
    expected = to_bytes(torch.cat(list(orbit_images(SPLATS, ORBIT, 64, 12))))
    assert np.abs(frames.astype(float) - expected).mean() < 4
    assert [file.name for file in tmp_path.iterdir()] == ["turntable.mp4"]


def test_failing_encoder_keeps_old_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "turntable.mp4"
    path.write_bytes(b"old")
    monkeypatch.setattr(turntable, "_frames_in", lambda _: 3)
    with pytest.raises(UserError, match="did not finish"):
        save_turntable(SPLATS, path, ORBIT, resolution=16, frames=4)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["turntable.mp4"]


def test_frame_count_of_damaged_video(tmp_path: Path) -> None:
    path = tmp_path / "turntable.mp4"
    save_turntable(SPLATS, path, ORBIT, resolution=16, frames=4)
    path.write_bytes(path.read_bytes()[:500])
    assert turntable._frames_in(path) == 0


def test_missing_ffmpeg_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "none"))
    with pytest.raises(UserError, match="pip install"):
        save_turntable(SPLATS, tmp_path / "a.mp4", ORBIT, resolution=16, frames=4)
