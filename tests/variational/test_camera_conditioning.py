"""Camera features, and the modulation of a U-Net's layers by them."""

import math
from copy import deepcopy

import pytest
import torch
from torch import Tensor

from gs_esd.cameras.orbit import orbit_cameras
from gs_esd.cameras.views import Views
from gs_esd.priors.global_unet import GlobalUnet
from gs_esd.variational.camera_conditioning import CameraConditioning, camera_features
from tests.helpers.tiny_models import tiny_latents, tiny_text, tiny_unet

COND, UNCOND = torch.tensor([False] * 3), torch.tensor([True] * 3)
AROUND = [0.0, 1.0, 2.0]


def _views(
    azimuth: list[float],
    elevation: float = 0.3,
    distance: float = 3.0,
    fov: float = 0.7,
    background: tuple[float, float, float] = (1.0, 1.0, 1.0),
) -> Views:
    around = torch.tensor(azimuth)
    cameras = orbit_cameras(
        around, torch.full_like(around, elevation), distance=distance, fov=fov, resolution=8
    )
    return Views(cameras, torch.tensor(background))


def _trained() -> tuple[torch.nn.Module, CameraConditioning]:
    """A U-Net and a conditioning that changes it."""
    unet = tiny_unet().requires_grad_(False)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        conditioning = CameraConditioning(unet)
        for layer in (*conditioning.films, conditioning.map_weights):
            torch.nn.init.normal_(layer.weight, std=0.1)
    return unet, conditioning


def _predict(
    unet: torch.nn.Module,
    conditioning: CameraConditioning,
    views: Views,
    uncond: Tensor = COND,
    first: int = 0,
) -> Tensor:
    features = camera_features(views)[first:]
    with conditioning.enabled(features, uncond[first:], first):
        return _plain(unet)


def _plain(unet: torch.nn.Module) -> Tensor:
    return unet(tiny_latents(3), torch.tensor(500), tiny_text().expand(3).tokens).sample


def test_features_depend_on_what_a_view_is_taken_with() -> None:
    features = camera_features(_views(AROUND))
    assert torch.pdist(features).min() > 0.5
    for other in (
        _views(AROUND, elevation=0.6),
        _views(AROUND, distance=6.0),
        _views(AROUND, fov=0.3),
        _views(AROUND, background=(0.0, 0.0, 0.0)),
        _views(AROUND, background=(1.0, 1.0, 0.0)),
    ):
        assert (features - camera_features(other)).norm(dim=1).min() > 0.3
    around = camera_features(_views([angle + 2 * math.pi for angle in AROUND]))
    torch.testing.assert_close(features, around, atol=1e-5, rtol=0)


def test_zero_initialisation() -> None:
    unet = tiny_unet().requires_grad_(False)
    before = _plain(unet)
    conditioning = CameraConditioning(unet)
    mixed = torch.tensor([False, True, False])
    assert torch.equal(_predict(unet, conditioning, _views(AROUND), mixed), before)


def test_off_outside_of_its_context() -> None:
    unet, conditioning = _trained()
    plain = _plain(tiny_unet())
    assert torch.equal(_plain(unet), plain)
    within = _predict(unet, conditioning, _views(AROUND))
    assert (within - plain).abs().amax((1, 2, 3)).min() > 1e-3
    assert torch.equal(_plain(unet), plain)


def test_every_camera_and_no_camera_differ() -> None:
    unet, conditioning = _trained()
    rows = _predict(unet, conditioning, _views(AROUND), torch.tensor([False, False, True]))
    elsewhere = _predict(
        unet, conditioning, _views([0.0, 1.5, 2.5]), torch.tensor([False, False, True])
    )
    same = (rows - elsewhere).abs().amax((1, 2, 3)) < 1e-6
    assert same.tolist() == [True, False, True]
    of_camera = _predict(unet, conditioning, _views(AROUND))
    assert (of_camera[2] - rows[2]).abs().max() > 1e-3


def test_no_camera_keeps_its_background() -> None:
    unet, conditioning = _trained()
    white, black = (
        _predict(unet, conditioning, _views(AROUND, background=(c, c, c)), UNCOND)
        for c in (1.0, 0.0)
    )
    assert (white - black).abs().amax((1, 2, 3)).min() > 1e-3


def test_rows_before_the_first_are_as_they_were() -> None:
    unet, conditioning = _trained()
    whole = _predict(unet, conditioning, _views(AROUND))
    part = _predict(unet, conditioning, _views(AROUND), first=2)
    torch.testing.assert_close(part[:2], _plain(unet)[:2], atol=1e-6, rtol=1e-6)
    torch.testing.assert_close(part[2], whole[2], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("uncond", "learns"), [(UNCOND, True), (COND, False)])
def test_gradient_of_null_camera(uncond: Tensor, learns: bool) -> None:
    unet, conditioning = _trained()
    _predict(unet, conditioning, _views(AROUND), uncond).square().sum().backward()
    assert conditioning.null.grad is not None
    assert bool(conditioning.null.grad.any()) == learns


def test_a_copy_of_the_unet_has_a_conditioning_of_its_own() -> None:
    unet, conditioning = _trained()
    other_unet, other = deepcopy((unet, conditioning))
    with other.enabled(camera_features(_views(AROUND)), COND):
        assert torch.equal(_plain(unet), _plain(tiny_unet()))
    assert torch.equal(
        _predict(unet, conditioning, _views(AROUND)), _predict(other_unet, other, _views(AROUND))
    )


def test_the_global_path_of_a_denoiser_is_modulated_too() -> None:
    config = {name: value for name, value in tiny_unet().config.items() if name[0] != "_"}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = GlobalUnet(**config).requires_grad_(False).eval()
        torch.nn.init.normal_(unet.global_path.last.weight, std=0.1)
        conditioning = CameraConditioning(unet)
        torch.nn.init.normal_(conditioning.films[-1].weight, std=0.1)
    t, text = torch.full((3,), 999), tiny_text().expand(3).tokens

    def predict() -> Tensor:
        return unet.predict_global(tiny_latents(3), t, text)

    before = predict()
    with conditioning.enabled(camera_features(_views(AROUND))[1:], UNCOND[1:], 1):
        after = predict()
    assert torch.equal(after[0], before[0])
    assert float((after[1:] - before[1:]).abs().mean()) > 1e-3
    assert torch.equal(predict(), before)
