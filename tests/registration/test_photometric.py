from dataclasses import replace

import pytest
import torch

from gs_esd.errors import NonFiniteError
from gs_esd.registration.photo_cameras import CameraParameters
from gs_esd.registration.photometric import (
    MAX_SCALE,
    MAX_SCALE_RATIO,
    MIN_SCALE,
    FitConfig,
    FitStage,
    PhotometricFit,
    clamp_scales,
    default_fit,
    held_out_photos,
)
from tests.helpers.turntable_photos import (
    cameras_at,
    even_azimuths,
    orbit,
    photos_of_splats,
    random_splats,
    registration_at,
)

N = 24
CONFIG = FitConfig((FitStage(16, 4), FitStage(32, 8)), cap=60)
AZIMUTH = even_azimuths(N)
PHOTOS = photos_of_splats(random_splats(), cameras_at(AZIMUTH, orbit(15), 32))


def fit(photos=PHOTOS, config: FitConfig = CONFIG) -> PhotometricFit:  # type: ignore[no-untyped-def]
    cameras = CameraParameters(registration_at(AZIMUTH + 0.05, 12), orbit(12))
    return PhotometricFit(photos, random_splats(seed=1), cameras, config, seed=0)


def test_splats_learn_nothing_of_held_out_photographs() -> None:
    whole = fit()
    rgba = PHOTOS.rgba.clone()
    rgba[held_out_photos(N, 0)] = 0.5
    other = fit(replace(PHOTOS, rgba=rgba))
    before = other.cameras.photo.table.clone()
    for _ in range(CONFIG.steps):
        whole.step()
        other.step()
    for name in whole.splats:
        assert torch.equal(whole.splats[name], other.splats[name])
    assert torch.equal(whole.cameras.shared.table, other.cameras.shared.table)
    held_out = whole.held_out
    assert (other.cameras.photo.table != before)[held_out].any()
    assert not torch.equal(whole.cameras.photo.table[held_out], other.cameras.photo.table[held_out])


def test_held_out_photographs_are_a_sixth_and_depend_on_the_seed() -> None:
    assert len(held_out_photos(36, 0)) == 6
    assert len(held_out_photos(37, 0)) == 7
    assert not torch.equal(held_out_photos(72, 0), held_out_photos(72, 1))


def test_every_photograph_comes_once_before_any_comes_again() -> None:
    drawn = fit()
    rows = torch.cat([drawn._draw("trained") for _ in range(20)])
    n = len(drawn.trained)
    for start in range(0, len(rows) - n, n):
        assert len(rows[start : start + n].unique()) == n


def test_batches_hold_no_photograph_twice() -> None:
    drawn = fit()
    for _ in range(40):
        assert len(drawn._draw("trained").unique()) == 5


def test_resolution_follows_the_stages() -> None:
    staged = fit()
    seen = []
    for _ in range(CONFIG.steps):
        seen.append(staged.resolution)
        staged.step()
    assert seen == [16] * 4 + [32] * 8
    assert staged.resolution == 32
    assert staged.progress == 1


def test_fit_lowers_the_error() -> None:
    config = FitConfig((FitStage(32, 60),), cap=60)
    fitted = fit(config=config)
    before = fitted.measure(fitted.trained)[0].mean()
    for _ in range(config.steps):
        fitted.step()
    assert fitted.measure(fitted.trained)[0].mean() > before + 2


def test_scales_are_clamped() -> None:
    splats = random_splats()
    splats["scales"].data = torch.log(torch.rand(40, 3) + 1e-4)
    clamp_scales(splats)
    scales = splats["scales"].exp().sort(dim=1).values
    assert scales.max() <= MAX_SCALE * 1.0001
    assert scales.min() >= MIN_SCALE * 0.9999
    assert (scales[:, 2] / scales[:, 1]).max() <= MAX_SCALE_RATIO * 1.0001


def test_wider_harmonics_change_no_rendering() -> None:
    wide = fit()
    before = wide.measure(wide.trained)[0]
    wide.widen_harmonics()
    assert wide.splats["shN"].shape[1] == 8
    assert torch.allclose(wide.measure(wide.trained)[0], before, atol=1e-3)
    wide.step()
    assert wide.splats["shN"].abs().max() > 0


def test_numbers_that_are_not_finite_stop_the_fit() -> None:
    broken = fit()
    broken.step()
    broken.splats["means"].data[3, 1] = float("nan")
    with pytest.raises(NonFiniteError, match="splats' means"):
        broken.check_finite()


@pytest.mark.parametrize(
    ("resolution", "stages"), [(64, [64]), (128, [64, 128]), (256, [64, 128, 256]), (32, [32])]
)
def test_default_fit_ends_at_the_resolution(resolution: int, stages: list[int]) -> None:
    assert [stage.resolution for stage in default_fit(resolution).stages] == stages


def test_fit_of_many_photographs_takes_longer_up_to_a_limit() -> None:
    steps = [default_fit(128, n).steps for n in (3, 100, 400, 900, 5000)]
    assert steps == [1200, 1200, 2400, 3600, 3600]
