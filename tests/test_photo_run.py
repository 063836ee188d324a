"""A run on photographs: what it writes, and that it resumes bit for bit in every part."""

import contextlib
import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from gs_esd.cameras.orbit import orbit_cameras
from gs_esd.config.options import CamerasConfig, Config, ImagesPriorConfig, NoDensifyConfig
from gs_esd.config.schedule import StageConfig, StagesConfig
from gs_esd.export.ply import load_splats
from gs_esd.photo_run import CamerasNotFoundError, PhotoRun, finds_cameras, fit_resolution
from gs_esd.registration.fit import PhotoFit
from gs_esd.registration.photometric import FitConfig, FitStage
from gs_esd.toyzoo.animal import build_animal
from gs_esd.toyzoo.prompt import parse_prompt
from gs_esd.toyzoo.tracer import trace
from gs_esd.trainer import Trainer

PHOTOS = 12
FIT = FitConfig((FitStage(32, 14), FitStage(64, 6)), cap=700)


class Stopped(Exception):
    """Stands for the death of the process."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of a pig from all around, over transparency."""
    folder = tmp_path_factory.mktemp("photos")
    azimuth = 2 * math.pi * torch.arange(PHOTOS) / PHOTOS
    cameras = orbit_cameras(
        azimuth, torch.full_like(azimuth, 0.25), distance=3.0, fov=0.7, resolution=64
    )
    rgba = trace(build_animal(parse_prompt("a pig")), cameras)
    straight = torch.cat([rgba[..., :3] / rgba[..., 3:].clamp(min=1e-3), rgba[..., 3:]], dim=-1)
    for i, image in enumerate((255 * straight.clamp(0, 1)).round().byte().numpy()):
        Image.fromarray(image, "RGBA").save(folder / f"{i}.png")
    return folder


def _config(folder: Path, **changes: Any) -> Config:
    stages = StagesConfig(StageConfig(0.5, 16, 4), StageConfig(0.7, 16, 4), StageConfig(1, 32, 4))
    config = Config(
        prompt="a pig",
        steps=6,
        prior=ImagesPriorConfig(path=str(folder)),
        stages=stages,
        densify=NoDensifyConfig(),
        cameras=CamerasConfig(elevation_min_deg=14, elevation_max_deg=14),
        checkpoint_every_s=0.0,
        snapshot_every_s=1e6,
    )
    return replace(config, **changes)


def _run(config: Config, run_dir: Path) -> None:
    """So short a run seldom finds cameras, and says so after the results are written."""
    with contextlib.suppress(CamerasNotFoundError):
        PhotoRun(config, run_dir, FIT).train()


@pytest.fixture(scope="module")
def finished(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("run")
    _run(_config(folder), run_dir)
    return run_dir


def test_files(finished: Path) -> None:
    names = {file.name for file in finished.iterdir()}
    assert {
        *("splats.ply", "preview.png", "turntable.mp4", "images.png", "metrics.json"),
        *("cameras.json", "transforms.json", "masks", "sparse", "metrics.jsonl"),
    } <= names
    assert "live.ply" not in names
    assert len(load_splats(finished / "splats.ply")["means"]) <= FIT.cap


def test_metrics(finished: Path) -> None:
    photos = json.loads((finished / "metrics.json").read_text())["photos"]
    assert photos["photographs"] == PHOTOS
    assert len(photos["held_out"]) == 2
    assert photos["verdict"] in ("good", "doubtful", "failed")
    assert 5 < photos["held_out_psnr_db"] < 60
    assert photos["candidates"][0]["cameras"] == "elevation14-fov40"
    lines = (finished / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["step"] == FIT.steps


@pytest.mark.parametrize(("part", "steps"), [(Trainer, 4), (Trainer, 9), (PhotoFit, 5)])
def test_resume_bit_for_bit(
    part: Any,
    steps: int,
    folder: Path,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Stopped in the first candidate, in the second, or in the fit."""
    name = "train_step" if part is Trainer else "step"
    original, made = getattr(part, name), 0

    def step(self: Any) -> Any:
        nonlocal made
        if made == steps:
            raise Stopped
        made += 1
        return original(self)

    monkeypatch.setattr(part, name, step)
    with pytest.raises(Stopped):
        PhotoRun(_config(folder), tmp_path, FIT).train()
    monkeypatch.undo()
    _run(_config(folder), tmp_path)
    whole = (finished / "splats.ply").read_bytes()
    assert (tmp_path / "splats.ply").read_bytes() == whole
    assert (tmp_path / "cameras.json").read_bytes() == (finished / "cameras.json").read_bytes()


def test_another_seed_gives_other_splats(folder: Path, finished: Path, tmp_path: Path) -> None:
    _run(_config(folder, seed=1), tmp_path)
    assert (tmp_path / "splats.ply").read_bytes() != (finished / "splats.ply").read_bytes()


@pytest.mark.parametrize(
    ("side", "largest", "resolution"),
    [(100, 256, 128), (204, 256, 128), (205, 256, 256), (600, 256, 256), (600, 512, 512)],
)
def test_resolution_of_the_fit(side: float, largest: int, resolution: int) -> None:
    assert fit_resolution(side, largest) == resolution


def test_esd_alone(folder: Path) -> None:
    assert finds_cameras(_config(folder))
    assert not finds_cameras(_config(folder, prior=ImagesPriorConfig("x", find_cameras=False)))
    assert not finds_cameras(Config(prompt="a pig"))
