import math
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from gs_esd.registration import fit as fit_module
from gs_esd.registration.fit import PhotoFit
from gs_esd.registration.photo_cameras import CameraParameters
from gs_esd.registration.photometric import FitConfig, FitStage
from gs_esd.registration.search import CameraSearch
from gs_esd.run.checkpoint import load_checkpoint, save_checkpoint
from gs_esd.splats.parameters import init_ball
from gs_esd.system.rng import stream
from tests.helpers.turntable_photos import (
    azimuth_errors_deg,
    cameras_at,
    even_azimuths,
    orbit,
    photos_of_animal,
    photos_of_splats,
    random_splats,
    registration_at,
)

N = 24
AZIMUTH = even_azimuths(N)
PHOTOS = photos_of_splats(random_splats(), cameras_at(AZIMUTH, orbit(15), 32))
CONFIG = FitConfig((FitStage(16, 6), FitStage(32, 14)), cap=60)
STEP = 2 * math.pi / N


def started(azimuth: torch.Tensor, config: FitConfig = CONFIG) -> PhotoFit:
    cameras = CameraParameters(registration_at(azimuth, 14), orbit(14))
    return PhotoFit(PHOTOS, random_splats(), cameras, config, seed=0)


def distorted(steps: float) -> torch.Tensor:
    """Azimuths with a smooth distortion of so many steps."""
    return AZIMUTH + steps * STEP * AZIMUTH.sin()


def finish(fit: PhotoFit) -> PhotoFit:
    while not fit.is_done:
        fit.step()
    return fit


def same(a: PhotoFit, b: PhotoFit) -> bool:
    return all(torch.equal(a.splats[name], b.splats[name]) for name in a.splats) and all(
        torch.equal(getattr(a.cameras, name).table, getattr(b.cameras, name).table)
        for name in ("photo", "shared")
    )


def assert_equal(a: Any, b: Any) -> None:
    """Of nested dictionaries and lists with tensors."""
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_equal(a[key], b[key])
    elif isinstance(a, list | tuple):
        assert len(a) == len(b)
        for one, other in zip(a, b, strict=True):
            assert_equal(one, other)
    else:
        assert a == b


@pytest.mark.parametrize("stop", [2, 4, 9, 17])
def test_resumed_fit_is_the_same_bit_for_bit(stop: int, tmp_path: Path) -> None:
    """Stops within either half of the trial of the first snap, and later."""
    straight = finish(started(distorted(1.5)))
    stopped = started(distorted(1.5))
    for _ in range(stop):
        stopped.step()
    save_checkpoint(tmp_path / "fit.pt", stopped.state_dict())
    resumed = started(AZIMUTH + 1)
    resumed.load_state_dict(load_checkpoint(tmp_path / "fit.pt"))
    assert same(finish(resumed), straight)
    assert resumed.history == straight.history


def test_state_is_not_changed_by_the_steps_after_it() -> None:
    fit = started(distorted(1.5))
    for _ in range(2):
        fit.step()
    state = fit.state_dict()
    before = deepcopy(state)
    finish(fit)
    assert_equal(state, before)


def test_small_distortions_are_snapped_at_once() -> None:
    fit = finish(started(distorted(0.3)))
    assert fit.history.accepted == [True] * 3
    assert fit.history.gains[:2] == [0.0] * 2
    assert fit.cameras.holds_azimuths
    assert azimuth_errors_deg(fit.cameras.azimuth, AZIMUTH).max() < 0.01


def test_large_snap_that_is_right_is_kept() -> None:
    fit = started(distorted(1.5))
    while not fit.history.accepted:
        fit.step()
    assert fit.history.moves[0] > 1
    assert fit.history.gains[0] > 0
    assert fit.history.accepted == [True]


def test_snap_of_photographs_that_are_not_even_is_refused() -> None:
    """All are from one half of the circle, with right cameras."""
    azimuth = 0.5 * AZIMUTH
    photos = photos_of_splats(random_splats(), cameras_at(azimuth, orbit(15), 32))
    cameras = CameraParameters(registration_at(azimuth, 15), orbit(15))
    fit = finish(PhotoFit(photos, random_splats(), cameras, CONFIG, seed=0))
    assert not any(fit.history.accepted)
    assert azimuth_errors_deg(fit.cameras.azimuth, azimuth).max() < 2


def test_small_unevenness_is_kept_where_photographs_bear_it_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A turntable that was turned by hand: right splats, every second camera 0.6 steps further."""
    monkeypatch.setattr(fit_module, "SNAP_COST_DB", 0.0)
    azimuth = even_azimuths(N)
    azimuth += 0.3 * STEP * (-1.0) ** azimuth.argsort().argsort()
    photos = photos_of_splats(random_splats(), cameras_at(azimuth, orbit(15), 32))
    cameras = CameraParameters(registration_at(azimuth, 15), orbit(15))
    config = FitConfig((FitStage(16, 40), FitStage(32, 60)), cap=60)
    fit = finish(PhotoFit(photos, random_splats(), cameras, config, seed=0))
    assert fit.history.accepted[:2] == [True, True]
    assert not fit.history.accepted[-1]
    assert not fit.cameras.holds_azimuths
    evenly_spaced = azimuth_errors_deg(AZIMUTH, azimuth)
    assert azimuth_errors_deg(fit.cameras.azimuth, azimuth).mean() < 0.9 * evenly_spaced.mean()


def test_neighbours_in_the_wrong_order_change_places() -> None:
    azimuth = AZIMUTH.clone()
    order = AZIMUTH.argsort()
    for pair in (order[[3, 4]], order[[0, -1]]):
        azimuth[pair] = AZIMUTH[pair.flip(0)]
    fit = started(azimuth)
    fit.cameras.hold_azimuths()
    finish(fit)
    assert fit.history.exchanges == [2, 0]
    assert azimuth_errors_deg(fit.cameras.azimuth, AZIMUTH).max() < 0.01


def test_photographs_on_the_wrong_side_jump_back() -> None:
    azimuth = AZIMUTH.clone()
    azimuth[3] += math.pi
    fit = started(azimuth, replace(CONFIG, even_spacing=False))
    while not fit.history.jumps:
        fit.step()
    assert fit.history.jumps[0] == 1
    assert azimuth_errors_deg(fit.cameras.azimuth, AZIMUTH)[3] < 10


def test_elevations_that_spread_against_the_pull_become_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every second photograph is from 8 degrees higher, and all begin at the same elevation."""
    monkeypatch.setattr(fit_module, "MAX_SPREAD", math.radians(0.1))
    raised = cameras_at(AZIMUTH, orbit(23), 32)
    rgba = PHOTOS.rgba.clone()
    rgba[::2] = photos_of_splats(random_splats(), raised).rgba[::2]
    cameras = CameraParameters(registration_at(AZIMUTH, 15), orbit(15))
    config = replace(CONFIG, stages=(FitStage(16, 20), FitStage(32, 40)))
    fit = finish(PhotoFit(replace(PHOTOS, rgba=rgba), random_splats(), cameras, config, seed=0))
    assert fit.history.spread_at is not None
    assert fit.cameras.has_own_elevations
    elevation = fit.cameras.elevation
    assert elevation[::2].mean() > elevation[1::2].mean() + math.radians(0.3)
    assert len(fit.history.moves) < 3  # no snap from then on
    resumed = started(AZIMUTH)
    resumed.load_state_dict(fit.state_dict())
    assert resumed.cameras.has_own_elevations
    monkeypatch.undo()
    assert not finish(started(AZIMUTH)).cameras.has_own_elevations


def test_known_order_holds_azimuths() -> None:
    fit = finish(started(AZIMUTH, replace(CONFIG, known_order=True)))
    assert torch.equal(fit.cameras.azimuth, AZIMUTH)
    assert fit.history.moves == fit.history.jumps == []


def test_progress_never_goes_back() -> None:
    fit = started(distorted(1.5))
    seen = [fit.progress]
    while not fit.is_done:
        fit.step()
        seen.append(fit.progress)
    assert seen == sorted(seen)
    assert seen[-1] == 1


def test_harmonics_wait_until_the_cameras_have_settled() -> None:
    fit = started(AZIMUTH)
    degrees = []
    while not fit.is_done:
        degrees.append(fit.splats["shN"].shape[1])
        fit.step()
    assert degrees[: CONFIG.steps // 2] == [0] * (CONFIG.steps // 2)
    assert degrees[-1] == 8


def recovered(name: str, config: FitConfig, even: bool) -> tuple[float, float]:
    """Fit an animal from a search with blurred splats; largest error in degrees, and PSNR."""
    true, azimuth = orbit(18, 25), even_azimuths(N)
    photos = photos_of_animal(name, azimuth, true, config.stages[-1].resolution)
    rough = init_ball(400, radius=0.8, opacity=0.1, sh_degree=0, generator=stream(0, "test ball"))
    noise = 0.5 * STEP * (2 * torch.rand(N, generator=stream(0, "test noise")) - 1)
    cameras = CameraParameters(registration_at(azimuth + noise, 14), orbit(14))
    fit = PhotoFit(photos, rough, cameras, replace(config, even_spacing=even), seed=0)
    finish(fit)
    assert CameraSearch(photos)(fit.splats, fit.cameras.fitted_orbit()).db > 20
    psnr, _ = fit.fit.measure(fit.fit.held_out)
    return float(azimuth_errors_deg(fit.cameras.azimuth, azimuth).median()), float(psnr.mean())


def test_cameras_of_an_animal_are_recovered() -> None:
    error, psnr = recovered("corgi", FitConfig((FitStage(32, 80), FitStage(64, 40)), 600), True)
    assert error < 0.3
    assert psnr > 18


@pytest.mark.slow
@pytest.mark.parametrize("name", ["corgi", "elephant"])
def test_cameras_are_recovered_without_even_spacing(name: str) -> None:
    error, psnr = recovered(name, FitConfig((FitStage(64, 200), FitStage(128, 600)), 4000), False)
    assert error < 0.3
    assert psnr > 33
