import math
from dataclasses import replace

import pytest
import torch

from gs_esd.registration import turntable
from gs_esd.registration.photometric import FitConfig, FitStage
from gs_esd.registration.turntable import cameras_in_order, fit_in_order
from tests.helpers.turntable_photos import orbit, photos_of_animal

CONFIG = FitConfig((FitStage(32, 120),), cap=1200)
N = 18


@pytest.mark.parametrize("sign", [1, -1])
def test_direction_of_the_turn_is_found(sign: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turntable, "DIRECTION_STEPS", 50)
    azimuth = sign * torch.arange(N) * (2 * math.pi / N)
    photos = photos_of_animal("corgi", azimuth, orbit(20), 32)
    best, other = fit_in_order(photos, CONFIG, seed=0)
    assert best.sign == sign
    assert best.psnr > other.psnr + 0.3
    assert best.fit.progress == pytest.approx(50 / 120)


def test_azimuths_follow_the_order() -> None:
    photos = photos_of_animal("corgi", torch.zeros(8), orbit(20), 16)
    for sign in (1, -1):
        steps = cameras_in_order(photos, sign, orbit(15)).azimuth.diff()
        expected = sign * 2 * math.pi / 8
        assert torch.allclose(torch.exp(1j * steps), torch.exp(1j * torch.tensor(expected)))


def test_azimuths_of_a_video_that_is_not_even_may_move() -> None:
    azimuth = torch.arange(N) * (2 * math.pi / N)
    photos = photos_of_animal("corgi", azimuth, orbit(20), 32)
    config = replace(CONFIG, stages=(FitStage(32, 10),), even_spacing=False)
    best, _ = fit_in_order(photos, config, seed=0)
    assert not best.fit.cameras.holds_azimuths
