"""Cameras of photographs that nobody took: lenses, shifts and crops all differ."""

import math
from pathlib import Path

import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from gs_esd.cameras.orbit import Cameras, orbit_cameras
from gs_esd.cameras.photo_cameras import PhotoCameras

R = 64
"""Pixels a side of the squares."""
PHOTOS = 6


def photo_cameras(names: tuple[str, ...] | None = None) -> PhotoCameras:
    """PHOTOS cameras around the object; each is moved sideways, and turned a little."""
    azimuth = torch.linspace(0.3, 5.9, PHOTOS)
    elevation = torch.linspace(-0.2, 0.6, PHOTOS)
    fov = torch.linspace(0.3, 0.8, PHOTOS)
    distance = 3 * math.tan(math.radians(20)) / (0.5 * fov).tan()
    orbit = orbit_cameras(azimuth, elevation, distance=distance, fov=fov, resolution=R)
    viewmats = orbit.viewmats.clone()
    viewmats[:, :2, 3] += torch.tensor([0.05, -0.03])
    names = names or tuple(f"{i}.png" for i in range(PHOTOS))
    return PhotoCameras(names, viewmats, orbit.Ks, azimuth, elevation)


def square_cameras(cameras: PhotoCameras) -> Cameras:
    """The same for a renderer of the squares."""
    return Cameras(cameras.viewmats, cameras.Ks, R, R, cameras.azimuth, cameras.elevation)


def crops_and_sizes() -> tuple[Float[Tensor, "M 3"], Int[Tensor, "M 2"]]:
    """Squares of other sizes and places in each photograph, some beyond its edges."""
    i = torch.arange(PHOTOS)
    crops = torch.stack([20.25 + 3 * i, -4.5 + 2 * i, 90.0 + 7 * i], dim=1)
    return crops, torch.stack([160 + 3 * i, 120 - i], dim=1)


def save_photos(folder: Path, names: tuple[str, ...], sizes: Int[Tensor, "M 2"]) -> None:
    """Write grey photographs of those sizes."""
    for name, size in zip(names, sizes.tolist(), strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", tuple(size), "grey").save(folder / name)


def points() -> Float[Tensor, "P 3"]:
    """Points in the unit ball, in float64."""
    drawn = torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return 0.8 * drawn / drawn.norm(dim=1, keepdim=True)


def project(
    points: Float[Tensor, "P 3"], viewmats: Float[Tensor, "M 4 4"], Ks: Float[Tensor, "M 3 3"]
) -> Float[Tensor, "M P 2"]:
    """Pixels of points, by OpenCV's conventions."""
    camera = points @ viewmats[:, :3, :3].double().mT + viewmats[:, None, :3, 3].double()
    image = camera @ Ks.double().mT
    return image[..., :2] / image[..., 2:]


def original_pixels(
    square: Float[Tensor, "M P 2"], crops: Float[Tensor, "M 3"]
) -> Float[Tensor, "M P 2"]:
    """Where pixels of the squares are in the photographs."""
    return crops[:, None, :2] + square * crops[:, None, 2:] / R
