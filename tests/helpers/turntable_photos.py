"""Photographs of random splats, or of animals of the zoo, with cameras that are known."""

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import Parameter, ParameterDict

from gs_esd.cameras.orbit import Cameras, Orbit, orbit_cameras
from gs_esd.photos.photo_set import PhotoSet
from gs_esd.registration.search import Registration, render_rgba
from gs_esd.system.rng import stream
from gs_esd.toyzoo.animal import build_animal
from gs_esd.toyzoo.prompt import ZooSubject
from gs_esd.toyzoo.tracer import trace


def orbit(elevation_deg: float, fov_deg: float = 40.0) -> Orbit:
    """At one elevation, from where objects have the size that they have at 40°."""
    fov, elevation = math.radians(fov_deg), math.radians(elevation_deg)
    distance = 3.0 * math.tan(math.radians(20)) / math.tan(0.5 * fov)
    return Orbit(distance, fov, elevation, elevation)


def even_azimuths(n: int, seed: int = 0) -> Float[Tensor, " n"]:
    """Of a turntable, in random order."""
    order = torch.randperm(n, generator=stream(seed, "test order"))
    return order * (2 * math.pi / n)


def random_splats(n: int = 40, seed: int = 0, sh_degree: int = 0) -> ParameterDict:
    """Colourful opaque splats that look different from every side."""
    draw = stream(seed, "test splats")
    direction = torch.randn(n, 3, generator=draw)
    means = 0.6 * direction / direction.norm(dim=1, keepdim=True)
    means = means * torch.tensor([1.0, 0.7, 0.6]) * torch.rand(n, 1, generator=draw).sqrt()
    higher = (sh_degree + 1) ** 2 - 1
    values = {
        "means": means,
        "quats": torch.randn(n, 4, generator=draw),
        "scales": -2.3 + 0.3 * torch.randn(n, 3, generator=draw),
        "opacities": torch.full((n,), 3.0),
        "sh0": 1.5 * torch.randn(n, 1, 3, generator=draw).clamp(-1.1, 1.1),
        "shN": 0.2 * torch.randn(n, higher, 3, generator=draw),
    }
    return ParameterDict({name: Parameter(value) for name, value in values.items()})


def cameras_at(azimuth: Float[Tensor, " M"], around: Orbit, resolution: int) -> Cameras:
    """Cameras at the lowest elevation of an orbit."""
    return orbit_cameras(
        azimuth,
        torch.full_like(azimuth, around.elevation_min),
        distance=around.distance,
        fov=around.fov,
        resolution=resolution,
    )


def photo_set(rgba: Float[Tensor, "M 4 R R"], framed_singly: bool = False) -> PhotoSet:
    """Images as photographs that were not cropped."""
    n, side = len(rgba), rgba.shape[-1]
    return PhotoSet(
        names=tuple(f"{i:03}.png" for i in range(n)),
        rgba=rgba,
        framed_singly=framed_singly,
        crops=torch.tensor([[0.0, 0.0, side]]).repeat(n, 1),
        sizes=torch.tensor([[side, side]]).repeat(n, 1),
    )


def photos_of_splats(
    splats: ParameterDict, cameras: Cameras, framed_singly: bool = False
) -> PhotoSet:
    """Renderings of splats as photographs, clamped as files are."""
    with torch.no_grad():
        rgba = render_rgba(splats, cameras).clamp(0, 1)
    return photo_set(rgba, framed_singly)


def photos_of_animal(
    name: str, azimuth: Float[Tensor, " M"], around: Orbit, resolution: int
) -> PhotoSet:
    """An animal of the zoo on a turntable."""
    cameras = cameras_at(azimuth, around, resolution)
    rgba = trace(build_animal(ZooSubject(name)), cameras).permute(0, 3, 1, 2).contiguous()
    return photo_set(rgba)


def registration_at(azimuth: Float[Tensor, " M"], elevation_deg: float) -> Registration:
    """A search's result with given azimuths, without shifts."""
    n = len(azimuth)
    nothing = torch.zeros(n)
    elevation = torch.full((n,), math.radians(elevation_deg))
    return Registration(azimuth % (2 * math.pi), elevation, torch.zeros(n, 2), nothing, nothing)


def shifted(cameras: Cameras, shift: Float[Tensor, "M 2"], scale: Float[Tensor, " M"]) -> Cameras:
    """Cameras whose images are scaled about their centre and then shifted, in fractions."""
    Ks = cameras.Ks.clone()
    Ks[:, 0, 0] *= scale
    Ks[:, 1, 1] *= scale
    Ks[:, :2, 2] += shift * cameras.width
    return replace(cameras, Ks=Ks)


def azimuth_errors_deg(
    found: Float[Tensor, " M"], true: Float[Tensor, " M"]
) -> Float[Tensor, " M"]:
    """Absolute differences after the rotation of all that makes their median 0, in degrees."""
    difference = found.double() - true.double()
    middle = torch.atan2(difference.sin().mean(), difference.cos().mean())
    rest = difference - middle
    rest = torch.atan2(rest.sin(), rest.cos())
    return (rest - rest.median()).abs().rad2deg()
