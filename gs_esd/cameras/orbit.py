"""Cameras on an orbit around the origin.

Notation and conventions
    B           number of cameras in a batch
    world       right-handed, z up; the object's front faces +x
    azimuth     angle in the xy plane: the camera is on +x, at the front, at 0 and on +y at 90°
    elevation   angle above the xy plane
    viewmats    world-to-camera, OpenCV axes: x right, y down, z forward (gsplat's name and meaning)
    Ks          intrinsics in pixels; the centre of the first pixel is at (0.5, 0.5)

Angles are in radians. Options in degrees, in the configuration and in the viewer, end in `_deg`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gs_esd.config.options import CamerasConfig
from gs_esd.system.device import to_device

MIN_SINE_FROM_POLE = 1e-6
"""Of the angle between a camera and the z axis; nearer, rounding decides where right is."""


@dataclass(frozen=True)
class Cameras:
    """A batch of pinhole cameras that share one image size.

    Attributes:
        viewmats: world-to-camera, OpenCV axes.
        Ks: intrinsics in pixels.
        width: image width in pixels.
        height: image height in pixels.
        azimuth: in radians; redundant with `viewmats`, for conditioning on the view.
        elevation: in radians; likewise.
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
        """Select cameras by a slice or by indices, which may repeat."""
        return self._map(lambda tensor: tensor[part])

    def to(self, device: torch.device | str) -> "Cameras":
        """Move all tensors to a device."""
        return self._map(lambda tensor: to_device(tensor, torch.device(device)))

    def _map(self, function: Callable[[Tensor], Tensor]) -> "Cameras":
        return replace(
            self,
            viewmats=function(self.viewmats),
            Ks=function(self.Ks),
            azimuth=function(self.azimuth),
            elevation=function(self.elevation),
        )


@dataclass(frozen=True)
class Orbit:
    """Range of cameras around the object, at any azimuth.

    Attributes:
        distance: from the origin, in world units, at the field of view `fov`; objects fill the unit
            ball.
        fov: full field of view in radians, the same horizontally and vertically.
        elevation_min: lower end of the range of elevations, in radians.
        elevation_max: upper end of it.
        distance_jitter: drawn distances are within this fraction of the usual one, either way.
        fov_jitter: drawn fields of view are within this of `fov`, in radians, either way.
    """

    distance: float
    fov: float
    elevation_min: float
    elevation_max: float
    distance_jitter: float = 0.0
    fov_jitter: float = 0.0

    def distance_at(self, fov: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
        """Distances from which the object has the same size in the image as at `fov`.

        The plane through the origin keeps its size: d tan(fov / 2) is constant, as with MVDream's
        `relative_radius` in threestudio.
        """
        return self.distance * math.tan(0.5 * self.fov) / (0.5 * fov).tan()


def make_orbit(config: CamerasConfig) -> Orbit:
    """Build an orbit from its options, converting degrees to radians."""
    return Orbit(
        distance=config.distance,
        fov=math.radians(config.fov_deg),
        elevation_min=math.radians(config.elevation_min_deg),
        elevation_max=math.radians(config.elevation_max_deg),
        distance_jitter=config.distance_jitter,
        fov_jitter=math.radians(config.fov_jitter_deg),
    )


def look_at_origin(position: Float[Tensor, "B 3"]) -> Float[Tensor, "B 4 4"]:
    """World-to-camera matrices of cameras that face the origin, with +z up in the image.

    The roll of a camera exactly above or below the origin is that of one at azimuth 0.
    """
    forward = -position / position.norm(dim=-1, keepdim=True)
    world_up = torch.tensor([0.0, 0.0, 1.0]).to(position).expand_as(position)
    right = torch.linalg.cross(forward, world_up)
    length = right.norm(dim=-1, keepdim=True)
    at_azimuth_0 = torch.tensor([0.0, 1.0, 0.0]).to(position)
    right = torch.where(length > MIN_SINE_FROM_POLE, right / length, at_azimuth_0)
    down = torch.linalg.cross(forward, right)
    rotation = torch.stack([right, down, forward], dim=1)  # [B, 3, 3]
    viewmats = torch.eye(4).to(position).repeat(len(position), 1, 1)
    viewmats[:, :3, :3] = rotation
    viewmats[:, :3, 3] = -(rotation @ position[:, :, None])[:, :, 0]
    return viewmats


def intrinsics(fov: float, resolution: int) -> Float[Tensor, "3 3"]:
    """Intrinsics of a square image of `resolution` pixels a side and a field of view in radians."""
    focal = 0.5 * resolution / math.tan(0.5 * fov)
    centre = 0.5 * resolution
    return torch.tensor([[focal, 0.0, centre], [0.0, focal, centre], [0.0, 0.0, 1.0]])


def orbit_cameras(
    azimuth: Float[Tensor, " B"],
    elevation: Float[Tensor, " B"],
    *,
    distance: float | Float[Tensor, " B"],
    fov: float | Float[Tensor, " B"],
    resolution: int,
) -> Cameras:
    """Cameras at the given angles that face the origin.

    Args:
        azimuth: in radians.
        elevation: in radians.
        distance: from the origin, in world units; of all cameras, or of each.
        fov: full field of view, in radians; likewise.
        resolution: side of the square images, in pixels.
    """
    distances = torch.as_tensor(distance, dtype=elevation.dtype, device=elevation.device)
    position = distances.reshape(-1, 1) * torch.stack(
        [
            elevation.cos() * azimuth.cos(),
            elevation.cos() * azimuth.sin(),
            elevation.sin(),
        ],
        dim=-1,
    )  # [B, 3]
    fovs = fov.tolist() if isinstance(fov, Tensor) else [fov]
    Ks = torch.stack([intrinsics(each, resolution) for each in fovs]).to(position)
    Ks = Ks.expand(len(position), 3, 3).contiguous()
    return Cameras(look_at_origin(position), Ks, resolution, resolution, azimuth, elevation)


def sample_orbit(n: int, orbit: Orbit, resolution: int, generator: torch.Generator) -> Cameras:
    """Draw `n` cameras: azimuths evenly spaced from a random start, all else uniform in range.

    Stratified azimuths leave each camera's own distribution uniform over the circle, and put all
    sides into every batch, over which ε_ψ(∅) is estimated.
    """
    start = torch.rand(1, generator=generator)
    azimuth = 2 * math.pi * ((torch.arange(n) + start) / n)
    span = orbit.elevation_max - orbit.elevation_min
    elevation = orbit.elevation_min + span * torch.rand(n, generator=generator)
    distance, fov = _draw_lenses(n, orbit, generator)
    return orbit_cameras(azimuth, elevation, distance=distance, fov=fov, resolution=resolution)


def _draw_lenses(
    n: int, orbit: Orbit, generator: torch.Generator
) -> tuple[float | Float[Tensor, " n"], float | Float[Tensor, " n"]]:
    """Distances and fields of view; a range of no width takes no random numbers."""
    distance: float | Tensor = orbit.distance
    fov: float | Tensor = orbit.fov
    if orbit.fov_jitter:
        fov = orbit.fov + orbit.fov_jitter * _symmetric(n, generator)
        distance = orbit.distance_at(fov)
    if orbit.distance_jitter:
        distance = distance * (1 + orbit.distance_jitter * _symmetric(n, generator))
    return distance, fov


def _symmetric(n: int, generator: torch.Generator) -> Float[Tensor, " n"]:
    """Uniform in [-1, 1)."""
    return 2 * torch.rand(n, generator=generator) - 1


def turntable(n: int, elevation: float, orbit: Orbit, resolution: int) -> Cameras:
    """`n` cameras evenly spaced around the object from azimuth 0, at one elevation in radians."""
    azimuth = 2 * math.pi * torch.arange(n) / n
    return orbit_cameras(
        azimuth,
        torch.full((n,), elevation),
        distance=orbit.distance,
        fov=orbit.fov,
        resolution=resolution,
    )
