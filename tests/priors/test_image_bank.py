"""A set of images as the prior."""

import pytest
import torch
from torch.nn.functional import avg_pool2d

from gs_esd.cameras.view_names import VIEW_NAMES
from gs_esd.errors import UserError
from gs_esd.priors.image_bank import ImageBankPrior
from tests.helpers.small_images import blobs, exact_noise, over, views_from

LOG_SNR = torch.tensor([-4.0, -2.0, 0.0])
FRONT, SIDE, BACK = torch.deg2rad(torch.tensor([0.0, 90.0, 180.0])).tolist()


def test_encode() -> None:
    images = torch.rand(2, 4, 5, 3, generator=torch.Generator().manual_seed(0))
    x_0 = ImageBankPrior(blobs(2, 8), [8]).encode(images)
    assert x_0.shape == (2, 3, 4, 5)
    torch.testing.assert_close(x_0[1, 2], 2 * images[1, :, :, 2] - 1)


def test_encode_gradient() -> None:
    images = torch.zeros(2, 4, 4, 3, requires_grad=True)
    ImageBankPrior(blobs(2, 8), [8]).encode(images).sum().backward()
    torch.testing.assert_close(images.grad, torch.full((2, 4, 4, 3), 2.0))


@pytest.mark.parametrize("resolution", [4, 8, 16])
def test_predict_noise_at_every_resolution(resolution: int) -> None:
    rgba, views = blobs(10, 16), views_from(torch.zeros(3))
    prior = ImageBankPrior(rgba, [4, 8, 16])
    generator = torch.Generator().manual_seed(0)
    x_t = torch.randn(3, 3, resolution, resolution, generator=generator)
    small = over(avg_pool2d(rgba, 16 // resolution), views.background)
    expected = torch.stack(
        [exact_noise(x, small, level) for x, level in zip(x_t, LOG_SNR, strict=True)]
    )
    eps = prior.predict_noise(x_t, LOG_SNR, views)
    torch.testing.assert_close(eps, expected.float(), atol=1e-4, rtol=1e-4)


def test_view_labels() -> None:
    rgba, labels = blobs(9, 8), torch.tensor([0, 1, 2, 0, 1, 2, 0, 0, 1])
    views = views_from(torch.tensor([FRONT, SIDE, BACK]))
    x_t = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    eps = ImageBankPrior(rgba, [8], labels).predict_noise(x_t, LOG_SNR, views)
    for i in range(len(VIEW_NAMES)):
        own = over(rgba[labels == i], views.background)
        expected = exact_noise(x_t[i], own, LOG_SNR[i]).float()
        torch.testing.assert_close(eps[i], expected, atol=1e-4, rtol=1e-4)


def test_view_without_image() -> None:
    # Otherwise the first such view would be denoised to NaN.
    with pytest.raises(UserError, match="back"):
        ImageBankPrior(blobs(3, 8), [8], torch.tensor([0, 1, 0]))


def _main_variance(rgba: torch.Tensor, background: torch.Tensor) -> float:
    images = over(rgba, background).flatten(1)
    return float(torch.linalg.eigvalsh(torch.cov(images.T, correction=0))[-1])


def test_main_variance_over_grey() -> None:
    rgba, grey = blobs(12, 8), (0.5, 0.5, 0.5)
    prior = ImageBankPrior(rgba, [8])
    expected = _main_variance(rgba, torch.tensor(grey))
    found = prior.main_variance(views_from(torch.zeros(1), grey))
    assert found == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("background", [(0.0, 0.0, 0.0), (0.9, 0.2, 0.4)], ids=str)
@pytest.mark.parametrize("resolution", [8, 16])
def test_main_variance_over_other_backgrounds_and_resolutions(
    resolution: int, background: tuple[float, float, float]
) -> None:
    rgba = blobs(12, 16)
    prior = ImageBankPrior(rgba, [8, 16])
    small = avg_pool2d(rgba, 16 // resolution)
    expected = _main_variance(small, torch.tensor(background))
    found = prior.main_variance(views_from(torch.zeros(1), background, resolution))
    assert found == pytest.approx(expected, rel=0.35)  # its fraction is measured over grey
