"""Animals, the ray tracer against a slow reference, and banks of images."""

import math
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor
from torch.testing import assert_close

from gs_esd.cameras.orbit import Cameras, orbit_cameras
from gs_esd.toyzoo.animal import Animal, build_animal
from gs_esd.toyzoo.animals.catalogue import ANIMALS
from gs_esd.toyzoo.appearance import individual_appearance
from gs_esd.toyzoo.bank import draw_bank, sample_bank_cameras
from gs_esd.toyzoo.primitives import Ellipsoid, mirror
from gs_esd.toyzoo.prompt import ZooSubject, parse_prompt
from gs_esd.toyzoo.sheet import main
from gs_esd.toyzoo.tracer import LIT_BRIGHTNESS, SHADED_BRIGHTNESS, trace

FOV = math.radians(40)
ELEVATION = (math.radians(-10), math.radians(40))


def cameras_at(azimuths_deg: list[float], resolution: int, elevation_deg: float = 15) -> Cameras:
    azimuth = torch.deg2rad(torch.tensor(azimuths_deg))
    elevation = torch.full_like(azimuth, math.radians(elevation_deg))
    return orbit_cameras(azimuth, elevation, distance=3.0, fov=FOV, resolution=resolution)


def bank_of(
    prompt: str, n: int, seed: int, *, resolution: int = 24, individuals: int = 1, first: int = 0
) -> tuple[Float[Tensor, "n 4 H W"], Cameras]:
    return draw_bank(
        parse_prompt(prompt),
        n,
        resolution,
        front_bias=1.0,
        elevation=ELEVATION,
        distance=3.0,
        fov=FOV,
        individuals=individuals,
        individual_seed=first,
        generator=torch.Generator().manual_seed(seed),
    )


def azimuths(n: int, front_bias: float) -> Cameras:
    return sample_bank_cameras(
        n,
        front_bias=front_bias,
        elevation=ELEVATION,
        distance=3.0,
        fov=FOV,
        resolution=8,
        generator=torch.Generator().manual_seed(0),
    )


def unlit_color(animal: Animal, part: int, q: np.ndarray) -> np.ndarray:
    color = animal.colors[part]
    for patch in animal.patches[animal.first_patch[part] : animal.first_patch[part + 1]]:
        if np.sum(((q - patch[:3]) / patch[3:6]) ** 2) < 1:
            color = patch[6:]
    return color


def trace_ray(animal: Animal, origin: np.ndarray, direction: np.ndarray) -> np.ndarray:
    """Slow reference of the tracer for one ray: RGBA of the nearest hit of all parts."""
    m = np.einsum("pij,pj->pi", animal.unit_from_world, origin - animal.centers)
    v = animal.unit_from_world @ direction
    a, b, c = (v * v).sum(1), (m * v).sum(1), (m * m).sum(1) - 1
    disc = b * b - a * c
    t = np.where(disc > 0, (-b - np.sqrt(np.maximum(disc, 0))) / a, np.inf)
    part = int(t.argmin())
    if not np.isfinite(t[part]):
        return np.zeros(4)
    q = m[part] + t[part] * v[part]
    normal = animal.unit_from_world[part].T @ q
    facing = normal @ animal.light / np.linalg.norm(normal)
    contrast = LIT_BRIGHTNESS - SHADED_BRIGHTNESS
    brightness = SHADED_BRIGHTNESS + contrast * (1 + facing) / 2
    return np.append(np.minimum(brightness * unlit_color(animal, part, q), 1), 1)


def slow_trace(animal: Animal, cameras: Cameras, k: int) -> Float[Tensor, "B H W 4"]:
    images = np.zeros((len(cameras), cameras.height, cameras.width, 4))
    for image, viewmat, K in zip(
        images, cameras.viewmats.double().numpy(), cameras.Ks.double().numpy(), strict=True
    ):
        origin = -viewmat[:3, :3].T @ viewmat[:3, 3]
        for i, j in np.ndindex(cameras.height * k, cameras.width * k):
            position = np.array([(j + 0.5) / k, (i + 0.5) / k, 1])
            direction = viewmat[:3, :3].T @ np.linalg.inv(K) @ position
            image[i // k, j // k] += trace_ray(animal, origin, direction) / k**2
    return torch.from_numpy(images).float()


@pytest.mark.parametrize(("name", "individual"), [("cow", 0), ("lion", 3)])
@pytest.mark.parametrize("k", [1, 2])
def test_trace_matches_slow_reference(name: str, individual: int, k: int) -> None:
    animal = build_animal(ZooSubject(name), individual)
    cameras = cameras_at([23.0, 201.0], resolution=16)
    traced = trace(animal, cameras, supersampling=k)
    assert_close(traced, slow_trace(animal, cameras, k), rtol=1e-4, atol=1e-5)


def test_trace_with_arbitrary_intrinsics() -> None:
    animal = build_animal(ZooSubject("fox"))
    cameras = cameras_at([50.0], resolution=16)
    Ks = torch.tensor([[[14.0, 0.0, 11.0], [0.0, 19.0, 4.0], [0.0, 0.0, 1.0]]])
    cameras = replace(cameras, Ks=Ks, width=20, height=12)
    assert_close(trace(animal, cameras), slow_trace(animal, cameras, k=2), rtol=1e-4, atol=1e-5)


def test_trace_independent_of_threads_and_batch() -> None:
    animal = build_animal(ZooSubject("owl"))
    both = trace(animal, cameras_at([10.0, 100.0], resolution=32), threads=2)
    single = trace(animal, cameras_at([100.0], resolution=32))
    assert torch.equal(both[1:], single)


@pytest.mark.parametrize("name", ANIMALS)
@pytest.mark.parametrize("individual", [0, 7])
def test_animals_in_unit_ball(name: str, individual: int) -> None:
    animal = build_animal(ZooSubject(name), individual)
    u = np.random.default_rng(0).normal(size=(4000, 3))
    u = u / np.linalg.norm(u, axis=1, keepdims=True)
    stretches = np.linalg.inv(animal.unit_from_world)
    surface = (animal.centers[:, None] + u @ stretches.transpose(0, 2, 1)).reshape(-1, 3)
    farthest = np.linalg.norm(surface, axis=1).max()
    assert 0.99 < farthest <= 1 + 1e-9
    middle = 0.5 * (surface.min(axis=0) + surface.max(axis=0))
    np.testing.assert_allclose(middle, 0, atol=0.01)


@pytest.mark.parametrize("name", ANIMALS)
def test_front_side_and_back_differ(name: str) -> None:
    views = trace(build_animal(ZooSubject(name)), cameras_at([0.0, 90.0, 180.0], resolution=48))
    size = views[..., 3].sum() / 3
    for one, other in ((0, 1), (1, 2), (0, 2)):
        assert (views[one] - views[other]).square().sum() / size > 0.08


@pytest.mark.parametrize("name", ANIMALS)
def test_premultiplied_alpha_and_margins(name: str) -> None:
    rgba = trace(build_animal(ZooSubject(name)), cameras_at([0.0, 120.0, 240.0], resolution=80))
    alpha = rgba[..., 3:]
    assert 0 <= rgba.min() <= rgba.max() <= 1
    assert (rgba[..., :3] <= alpha + 1e-6).all()
    assert ((alpha > 0) & (alpha < 1)).any()  # antialiased
    assert alpha[:, [0, -1]].max() == 0
    assert alpha[:, :, [0, -1]].max() == 0
    assert alpha.mean() > 0.08


def test_face_at_azimuth_0() -> None:
    views = trace(build_animal(ZooSubject("corgi")), cameras_at([0.0, 90.0, 180.0], resolution=64))
    ink = (views[..., :3].amax(-1) < 0.2) & (views[..., 3] == 1)
    front, flank, back = ink
    assert front.sum() > 20
    assert back.sum() == 0
    assert flank[:, :32].sum() > 5  # from +y, the face looks to the left of the image
    assert flank[:, 32:].sum() == 0


def test_mirrored_silhouettes() -> None:
    views = trace(build_animal(ZooSubject("corgi")), cameras_at([70.0, -70.0], resolution=48))
    assert_close(views[0, ..., 3], views[1, ..., 3].flip(1))


def test_mirror_is_involution() -> None:
    part = Ellipsoid((1, 2, 3), (0.1, 0.2, 0.3), (1, 0, 0), (10, 20, 30)).patch(
        (0.1, 0.2, 0.3), (1, 1, 1), (0, 1, 0)
    )
    assert mirror(part) != part
    assert mirror(mirror(part)) == part


def test_color_word_changes_coat_only() -> None:
    cameras = cameras_at([180.0], resolution=32)
    usual, blue = (trace(build_animal(parse_prompt(p)), cameras) for p in ("a cat", "a blue cat"))
    assert torch.equal(usual[..., 3], blue[..., 3])
    red, _, azure, _ = blue.sum(dim=(0, 1, 2))
    assert azure > 2 * red


def test_individual_appearances() -> None:
    appearances = [individual_appearance(individual, None) for individual in range(20)]
    assert len(set(appearances)) == 20
    assert (appearances[0].head, appearances[0].tint) == (1.0, (0.0, 1.0, 1.0))
    assert all(math.isclose(math.hypot(*each.light), 1, abs_tol=2e-3) for each in appearances)


def test_draw_bank_reproducible() -> None:
    bank, cameras = bank_of("a bear", 6, seed=3)
    again, _ = bank_of("a bear", 6, seed=3)
    other, _ = bank_of("a bear", 6, seed=4)
    assert bank.shape == (6, 4, 24, 24)
    assert torch.equal(bank, again)
    assert not torch.equal(bank, other)
    drawn = trace(build_animal(ZooSubject("bear")), cameras)
    assert torch.equal(bank, drawn.permute(0, 3, 1, 2))


def test_individuals_interleaved_in_bank() -> None:
    mixed, _ = bank_of("a bear", 6, seed=3, individuals=2, first=5)
    fifth, _ = bank_of("a bear", 6, seed=3, first=5)
    sixth, _ = bank_of("a bear", 6, seed=3, first=6)
    assert torch.equal(mixed[0::2], fifth[0::2])
    assert torch.equal(mixed[1::2], sixth[1::2])
    assert not torch.equal(fifth, sixth)


@pytest.mark.parametrize(
    # The mean resultant of a von Mises distribution is I1(κ) / I0(κ).
    ("front_bias", "mean_cosine"),
    [(0.0, 0.0), (1.0, 0.4464), (4.0, 0.8635), (1000.0, 0.9995)],
)
def test_von_mises_azimuths(front_bias: float, mean_cosine: float) -> None:
    cameras = azimuths(20_000, front_bias)
    assert cameras.azimuth.cos().mean().item() == pytest.approx(mean_cosine, abs=0.02)
    assert cameras.azimuth.sin().mean().item() == pytest.approx(0, abs=0.02)
    assert cameras.elevation.min() >= ELEVATION[0]
    assert cameras.elevation.max() <= ELEVATION[1]


def test_invalid_arguments_error() -> None:
    animal = build_animal(ZooSubject("pig"))
    azimuth, elevation = torch.zeros(1), torch.zeros(1)
    close = orbit_cameras(azimuth, elevation, distance=0.9, fov=FOV, resolution=8)
    with pytest.raises(ValueError, match="unit ball"):
        trace(animal, close)
    with pytest.raises(ValueError, match="supersampling"):
        trace(animal, cameras_at([0.0], resolution=8), supersampling=0)
    with pytest.raises(ValueError, match="front_bias"):
        azimuths(4, -1.0)
    with pytest.raises(ValueError, match="individuals"):
        bank_of("a pig", 4, seed=0, individuals=0)
    with pytest.raises(ValueError, match="individual"):
        build_animal(ZooSubject("pig"), -1)


def test_zoo_sheet_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "zoo.png"
    monkeypatch.setattr(sys, "argv", ["toyzoo", "--out", str(out), "--resolution", "24"])
    main()
    width, height = Image.open(out).size
    assert width > 8 * 24
    assert height > len(ANIMALS) * 24
