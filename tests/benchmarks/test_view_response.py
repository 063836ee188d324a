"""The measure of how sharp a model is: 1 for a perfect one, 0 for one that knows no view."""

import torch
from torch import Tensor

from benchmarks.quality.view_response import IMAGES, denoised, response
from gs_esd.cameras.orbit import make_orbit, turntable
from gs_esd.cameras.views import Views
from gs_esd.config.options import CamerasConfig
from gs_esd.diffusion.process import add_noise, eps_from_x_0
from gs_esd.diffusion.schedule import NoiseSchedule

X_0 = [torch.randn(IMAGES, 2, 3, 3, generator=torch.Generator().manual_seed(i)) for i in (0, 1)]
VIEWS = Views(turntable(IMAGES, 0.0, make_orbit(CamerasConfig()), 8), torch.zeros(3))


class Knows:
    """A model that knows which of X_0 it is shown, and moves so far from their mean to it."""

    schedule: NoiseSchedule

    def __init__(self, share: float) -> None:
        self.share = share

    def encode(self, images: Tensor) -> Tensor:
        raise NotImplementedError

    def predict_noise(self, x_t: Tensor, log_snr: Tensor, views: Views) -> Tensor:
        alpha = log_snr[0].sigmoid().sqrt()
        shown = min(X_0, key=lambda x_0: float((x_t - alpha * x_0).square().sum()))
        mean = shown.mean(0, keepdim=True)
        return eps_from_x_0(x_t, mean + self.share * (shown - mean), log_snr)


def test_denoised_inverts_the_noise() -> None:
    log_snr = torch.full((IMAGES,), 1.0)
    x_t = add_noise(X_0[0], torch.randn(X_0[0].shape), log_snr)
    torch.testing.assert_close(denoised(Knows(1.0), x_t, log_snr, VIEWS), X_0[0])


def test_slope_and_error_of_models_that_move_too_little() -> None:
    for share in (1.0, 0.5, 0.0):
        generator = torch.Generator().manual_seed(0)
        slope, error = response(Knows(share), Knows(1.0), X_0, VIEWS, 2.0, generator)
        assert abs(slope - share) < 1e-3
        assert abs(error - (1 - share) ** 2) < 1e-3
