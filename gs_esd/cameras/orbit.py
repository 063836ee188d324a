"""Cameras on an orbit around the origin.

Notation and conventions
    B           number of cameras in a batch
    world       right-handed, z up; the object's front looks along +x
    azimuth     angle in the xy plane, 0 sees the front (camera on +x), 90° stands on +y
    elevation   angle above the xy plane
    viewmats    world-to-camera, OpenCV axes: x right, y down, z forward (gsplat's name and meaning)
    Ks          intrinsics in pixels; the centre of the first pixel is at (0.5, 0.5)

Angles are radians here; configuration and images say degrees and carry `_deg` in their names.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gs_esd.config.options import CamerasConfig
from gs_esd.system.device import to_device


@dataclass(frozen=True)
class Cameras:
    """A batch of pinhole cameras that share one image size.

    `azimuth` and `elevation` (radians) repeat what `viewmats` says, for those who condition on
    the view.
    """

    viewmats: Float[Tensor, "B 4 4"]
    Ks: Float[Tensor, "B 3 3"]
    width: int
    height: int
    azimuth: Float[Tensor, " B"]
    elevation: Float[Tensor, " B"]

    def __len__(self) -> int:
        """Number of cameras B."""
        return self.viewmats.shape[0]

    def __getitem__(self, part: slice | Int[Tensor, " n"]) -> "Cameras":
        """Some of the cameras, by a slice or by their indices, which may repeat."""
        return self._each(lambda tensor: tensor[part])

    def to(self, device: torch.device | str) -> "Cameras":
        """The same cameras on a device."""
        return self._each(lambda tensor: to_device(tensor, torch.device(device)))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Cameras":
        return replace(
            self,
            viewmats=change(self.viewmats),
            Ks=change(self.Ks),
            azimuth=change(self.azimuth),
            elevation=change(self.elevation),
        )


@dataclass(frozen=True)
class Orbit:
    """Where cameras may stand: everything about an orbit except the azimuth.

    distance: from the origin, in world units (objects fill the unit ball).
    fov: the full angle of view, the same across and down, in radians.
    elevation_min, elevation_max: range of the elevation in radians.
    """

    distance: float
    fov: float
    elevation_min: float
    elevation_max: float


def make_orbit(config: CamerasConfig) -> Orbit:
    """The orbit in radians."""
    return Orbit(
        distance=config.distance,
        fov=math.radians(config.fov_deg),
        elevation_min=math.radians(config.elevation_min_deg),
        elevation_max=math.radians(config.elevation_max_deg),
    )


def look_at_origin(position: Float[Tensor, "B 3"]) -> Float[Tensor, "B 4 4"]:
    """World-to-camera matrices of cameras at `position` that look at the origin with +z up.

    A camera straight above or below the origin has no defined roll and gives non-finite entries.
    """
    forward = -position / position.norm(dim=-1, keepdim=True)
    world_up = torch.tensor([0.0, 0.0, 1.0]).to(position).expand_as(position)
    right = torch.linalg.cross(forward, world_up)
    right = right / right.norm(dim=-1, keepdim=True)
    down = torch.linalg.cross(forward, right)
    rotation = torch.stack([right, down, forward], dim=1)  # [B, 3, 3]
    viewmats = torch.eye(4).to(position).repeat(len(position), 1, 1)
    viewmats[:, :3, :3] = rotation
    viewmats[:, :3, 3] = -(rotation @ position[:, :, None])[:, :, 0]
    return viewmats


def intrinsics(fov: float, resolution: int) -> Float[Tensor, "3 3"]:
    """Intrinsics of a square image, `resolution` pixels a side, that spans `fov` (radians)."""
    focal = 0.5 * resolution / math.tan(0.5 * fov)
    centre = 0.5 * resolution
    return torch.tensor([[focal, 0.0, centre], [0.0, focal, centre], [0.0, 0.0, 1.0]])


def orbit_cameras(
    azimuth: Float[Tensor, " B"],
    elevation: Float[Tensor, " B"],
    *,
    distance: float,
    fov: float,
    resolution: int,
) -> Cameras:
    """Cameras at the given angles (radians) and `distance` that look at the origin.

    Images are square, `resolution` pixels a side, and span the angle `fov` (radians).
    """
    position = distance * torch.stack(
        [
            elevation.cos() * azimuth.cos(),
            elevation.cos() * azimuth.sin(),
            elevation.sin(),
        ],
        dim=-1,
    )  # [B, 3]
    Ks = intrinsics(fov, resolution).to(position).repeat(len(position), 1, 1)
    return Cameras(look_at_origin(position), Ks, resolution, resolution, azimuth, elevation)


def sample_orbit(n: int, orbit: Orbit, resolution: int, generator: torch.Generator) -> Cameras:
    """Draw `n` cameras: azimuths evenly spaced from a random start, elevations uniform in range.

    Even spacing keeps the marginal of every camera uniform over the circle, and makes each batch
    show all sides, which the entropy of the batch feeds on.
    """
    start = torch.rand(1, generator=generator)
    azimuth = 2 * math.pi * ((torch.arange(n) + start) / n)
    span = orbit.elevation_max - orbit.elevation_min
    elevation = orbit.elevation_min + span * torch.rand(n, generator=generator)
    return orbit_cameras(
        azimuth, elevation, distance=orbit.distance, fov=orbit.fov, resolution=resolution
    )


def turntable(n: int, elevation: float, orbit: Orbit, resolution: int) -> Cameras:
    """`n` cameras evenly around the object from azimuth 0, all at one `elevation` (radians)."""
    azimuth = 2 * math.pi * torch.arange(n) / n
    return orbit_cameras(
        azimuth,
        torch.full((n,), elevation),
        distance=orbit.distance,
        fov=orbit.fov,
        resolution=resolution,
    )
