"""Banks of images of one subject, from cameras that favour its front, as photographers do.

A closed-form denoiser of the bank is an image prior. The cameras are returned for tests and
training; the distillation does not use them.

Notation
    n       images in the bank
    H, W    their height and width (equal here)
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from gs_esd.cameras.orbit import Cameras, orbit_cameras
from gs_esd.toyzoo.animal import build_animal
from gs_esd.toyzoo.prompt import ZooSubject
from gs_esd.toyzoo.tracer import trace


def sample_bank_cameras(
    n: int,
    *,
    front_bias: float,
    elevation: tuple[float, float],
    distance: float,
    fov: float,
    resolution: int,
    generator: torch.Generator,
) -> Cameras:
    """Draw cameras that favour the front.

    The azimuth has the von Mises density exp(κ cos φ) / (2π I₀(κ)) with κ = `front_bias`: 0 is
    uniform, and the front is seen exp(2κ) times as often as the back.

    Args:
        n: number of cameras.
        front_bias: κ, not negative.
        elevation: range of the uniform elevation, radians.
        distance: from the origin, in world units.
        fov: full field of view, radians.
        resolution: pixels a side.
        generator: on the CPU, of all random numbers.

    Raises:
        ValueError: `front_bias` is negative.
    """
    azimuth = _sample_von_mises(n, front_bias, generator)
    low, high = elevation
    height = low + (high - low) * torch.rand(n, generator=generator)
    return orbit_cameras(azimuth, height, distance=distance, fov=fov, resolution=resolution)


def _sample_von_mises(
    n: int, kappa: float, generator: torch.Generator, bins: int = 4096
) -> Float[Tensor, " n"]:
    """Angles in [−π, π] with density ∝ exp(κ cos φ), by inverting the tabulated distribution."""
    if kappa < 0:
        raise ValueError(f"front_bias must not be negative, got {kappa}")
    edges = torch.linspace(-math.pi, math.pi, bins + 1, dtype=torch.float64)
    middles = 0.5 * (edges[1:] + edges[:-1])
    cumulative = torch.cumsum(torch.exp(kappa * (middles.cos() - 1)), dim=0)  # −1: no overflow
    uniform = torch.rand(2, n, generator=generator, dtype=torch.float64)
    chosen = torch.searchsorted(cumulative, uniform[0] * cumulative[-1]).clamp(max=bins - 1)
    return (edges[chosen] + uniform[1] * (edges[1] - edges[0])).float()


def draw_bank(
    subject: ZooSubject,
    n: int,
    resolution: int,
    *,
    front_bias: float,
    elevation: tuple[float, float],
    distance: float,
    fov: float,
    individuals: int = 1,
    individual_seed: int = 0,
    generator: torch.Generator,
    supersampling: int = 2,
    threads: int = 1,
) -> tuple[Float[Tensor, "n 4 H W"], Cameras]:
    """Draw images of one subject.

    They show in turn the individuals `individual_seed`, `individual_seed` + 1, …, of which there
    are `individuals`; number 0 is the canonical one.

    Args:
        subject: animal and colour.
        n: number of images.
        resolution: pixels a side.
        front_bias, elevation, distance, fov, generator: of `sample_bank_cameras`.
        individuals: different individuals on the images.
        individual_seed: number of the first one.
        supersampling: samples along each side of a pixel.
        threads: images drawn at the same time.

    Returns:
        Images, premultiplied RGBA in [0, 1], display sRGB, and their cameras.

    Raises:
        ValueError: `n` or `individuals` is below 1, or a number of `sample_bank_cameras` is wrong.
    """
    if n < 1 or individuals < 1:
        raise ValueError(f"n and individuals must be at least 1, got {n} and {individuals}")
    cameras = sample_bank_cameras(
        n,
        front_bias=front_bias,
        elevation=elevation,
        distance=distance,
        fov=fov,
        resolution=resolution,
        generator=generator,
    )
    bank = torch.empty(n, resolution, resolution, 4)
    for turn in range(min(individuals, n)):
        turns = slice(turn, None, individuals)
        animal = build_animal(subject, individual_seed + turn)
        bank[turns] = trace(
            animal, _pick(cameras, turns), supersampling=supersampling, threads=threads
        )
    return bank.permute(0, 3, 1, 2).contiguous(), cameras


def _pick(cameras: Cameras, which: slice) -> Cameras:
    return Cameras(
        cameras.viewmats[which],
        cameras.Ks[which],
        cameras.width,
        cameras.height,
        cameras.azimuth[which],
        cameras.elevation[which],
    )
