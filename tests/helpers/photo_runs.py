"""Finished runs on photographs that no run made: a statue, cameras, photographs and the truth."""

import json
import math
from pathlib import Path

import torch
from PIL import Image
from torch.nn import ParameterDict

from gs_esd.cameras.orbit import Cameras, orbit_cameras
from gs_esd.cameras.photo_cameras import PhotoCameras
from gs_esd.export.camera_files import save_camera_files
from gs_esd.export.images import to_bytes
from gs_esd.export.ply import save_splats
from gs_esd.render.renderings import render
from tests.helpers.statue import statue

R = 64
PHOTOS = 24
ELEVATION, FOV = 0.3, 0.5
DISTANCE = 3 * math.tan(math.radians(20)) / math.tan(0.5 * FOV)


def make_photo_run(
    folder: Path, fitted: torch.Tensor, splats: ParameterDict | None = None, sign: int = 1
) -> tuple[Path, dict[str, float]]:
    """Photographs of a statue all around, a run with the cameras at `fitted`, and the truth.

    The true azimuth of photograph i is i · 360° / PHOTOS, times `sign` and from another zero.
    """
    splats = statue(sh_degree=0) if splats is None else splats
    truth = 2 * math.pi * torch.arange(PHOTOS) / PHOTOS
    names = tuple(f"{i:02}.png" for i in range(PHOTOS))
    alpha = _save_photos(folder / "photos", names, truth)
    run_dir = folder / "run"
    run_dir.mkdir()
    save_splats(splats, run_dir / "splats.ply")
    metrics = {"prompt": "a statue", "config": {"cameras": {"kind": "CamerasConfig"}}}
    (run_dir / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    cameras = _cameras(fitted)
    save_camera_files(
        run_dir,
        PhotoCameras(names, cameras.viewmats, cameras.Ks, cameras.azimuth, cameras.elevation),
        splats,
        photo_folder=folder / "photos",
        crops=torch.tensor([[0.0, 0.0, R]]).expand(PHOTOS, 3),
        sizes=torch.tensor([[R, R]]).expand(PHOTOS, 2),
        alpha=alpha,
    )
    degrees = (sign * truth + 1.0).rad2deg().remainder(360).tolist()
    return run_dir, dict(zip(names, degrees, strict=True))


def _cameras(azimuth: torch.Tensor) -> Cameras:
    elevation = torch.full_like(azimuth, ELEVATION)
    return orbit_cameras(azimuth, elevation, distance=DISTANCE, fov=FOV, resolution=R)


@torch.no_grad()
def _save_photos(folder: Path, names: tuple[str, ...], azimuth: torch.Tensor) -> torch.Tensor:
    """Write the statue over green, from each azimuth; returns its alpha."""
    folder.mkdir(parents=True)
    renderings = render(statue(sh_degree=0), _cameras(azimuth))
    pixels = to_bytes(renderings.over(torch.tensor([0.2, 0.8, 0.2])))
    for name, image in zip(names, pixels, strict=True):
        Image.fromarray(image).save(folder / name)
    return renderings.alpha[..., 0]
