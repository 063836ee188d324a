"""The closed form in pixel space: its buffer, ε_ψ(c) and ε_ψ(∅)."""

import pytest
import torch
from torch import Tensor

from gs_esd.cameras.views import Views
from gs_esd.variational.base import NeededPredictions
from gs_esd.variational.closed_form import ClosedFormPixelScore
from tests.helpers.small_images import blobs, branch, exact_noise, over, renderings_of, views_from


def _batch(azimuths: list[float], size: int = 8, seed: int = 0) -> tuple[Tensor, Views]:
    return blobs(len(azimuths), size, seed), views_from(torch.tensor(azimuths))


def _update(score: ClosedFormPixelScore, rgba: Tensor, views: Views) -> dict[str, float]:
    x_0 = over(rgba, views.background).float()
    return score.update(renderings_of(rgba), x_0, views, torch.zeros(len(rgba)))


def _x_t(n: int, size: int = 8) -> Tensor:
    return torch.randn(n, 3, size, size, generator=torch.Generator().manual_seed(9))


def _expected(x_t: Tensor, held: Tensor, views: Views, log_snr: Tensor) -> Tensor:
    """ε of noisy images for the mixture of the images `held`."""
    images = over(held, views.background)
    noise = [exact_noise(*each) for each in zip(x_t, [images] * len(x_t), log_snr, strict=True)]
    return torch.stack(noise).float()


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7])
def test_mixture_of_batch_and_buffer(n: int) -> None:
    score = ClosedFormPixelScore(buffer_size=3)
    batches = [_batch([0.1 + i, 0.2 + i], seed=i) for i in range(n)]
    sizes = [_update(score, *batch)["buffer"] for batch in batches]
    assert sizes == [2, 4, 5, 5, 5, 5, 5][:n]
    held = torch.cat([rgba for rgba, _ in batches])[-5:]
    log_snr = torch.full((2,), -3.0)
    views = batches[-1][1]
    uncond = branch(score, _x_t(2), log_snr, views, uncond=True)
    expected = _expected(_x_t(2), held, views, log_snr)
    torch.testing.assert_close(uncond, expected, atol=1e-4, rtol=1e-4)


def test_camera_of_overwritten_rendering() -> None:
    score = ClosedFormPixelScore(buffer_size=3)
    views = [views_from(torch.tensor([0.1 + i, 0.2 + i])) for i in range(4)]
    for i in range(4):
        _update(score, blobs(2, 8, seed=i), views[i])
    log_snr = torch.zeros(2)
    for buffered in (views[2], views[3], views_from(torch.tensor([1.2, 1.2]))):
        branch(score, _x_t(2), log_snr, buffered, uncond=False)
    with pytest.raises(ValueError, match="call update"):
        branch(score, _x_t(2), log_snr, views_from(torch.tensor([1.1, 1.1])), uncond=False)


def test_buffer_size_zero() -> None:
    score = ClosedFormPixelScore(buffer_size=0)
    for i in range(2):
        batch = _batch([0.0, 1.0, 2.0], seed=i)
        assert _update(score, *batch) == {"buffer": 3.0}
    assert torch.equal(score.state_dict()["rgba"], batch[0])


@pytest.mark.parametrize(("n", "size"), [(2, 4), (3, 8)])
def test_batch_of_another_shape(n: int, size: int) -> None:
    score = ClosedFormPixelScore(buffer_size=10)
    _update(score, *_batch([0.0, 1.0], size=8))
    rgba, views = _batch([2.0, 3.0, 4.0][:n], size=size, seed=1)
    assert _update(score, rgba, views) == {"buffer": float(n)}
    log_snr = torch.full((n,), -3.0)
    uncond = branch(score, _x_t(n, size), log_snr, views, uncond=True)
    expected = _expected(_x_t(n, size), rgba, views, log_snr)
    torch.testing.assert_close(uncond, expected, atol=1e-4, rtol=1e-4)
    gone = views_from(torch.zeros(n))
    with pytest.raises(ValueError, match="call update"):
        branch(score, _x_t(n, size), log_snr, gone, uncond=False)


def test_buffer_is_detached() -> None:
    score = ClosedFormPixelScore(buffer_size=1)
    rgba, views = _batch([0.0])
    _update(score, rgba.requires_grad_(), views)
    assert not score.state_dict()["rgba"].requires_grad


@pytest.mark.parametrize("uncond", [True, False])
@pytest.mark.parametrize("n", [1, 2, 4])
def test_resume_bit_for_bit(n: int, uncond: bool) -> None:
    score, resumed = ClosedFormPixelScore(buffer_size=3), ClosedFormPixelScore(buffer_size=3)
    for i in range(n):
        _update(score, *_batch([0.1 + i, 0.2 + i], seed=i))
    resumed.load_state_dict({name: value.clone() for name, value in score.state_dict().items()})
    rgba, views = _batch([n - 0.9, n - 0.8], seed=n - 1)
    log_snr = torch.tensor([-2.0, 1.0])
    for _ in range(2):
        predictions = [
            branch(each, _x_t(2), log_snr, views, uncond=uncond) for each in (score, resumed)
        ]
        assert torch.equal(*predictions)
        for each in (score, resumed):
            _update(each, rgba, views)
    for name, value in score.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name])


def test_unknown_camera() -> None:
    score = ClosedFormPixelScore(buffer_size=3)
    _update(score, *_batch([0.0, 1.0]))
    one_unknown = views_from(torch.tensor([0.0, 2.0]))
    log_snr = torch.zeros(2)
    with pytest.raises(ValueError, match="call update"):
        branch(score, _x_t(2), log_snr, one_unknown, uncond=False)
    uncond = branch(score, _x_t(2), log_snr, one_unknown, uncond=True)
    assert uncond.isfinite().all()


def test_mixture_of_one_camera() -> None:
    score = ClosedFormPixelScore(buffer_size=4)
    before, views_before = _batch([1.0, 2.0], seed=1)
    _update(score, before, views_before)
    now, views = _batch([1.0, 3.0], seed=2)
    _update(score, now, views)
    log_snr = torch.tensor([-3.0, -3.0])
    camera = branch(score, _x_t(2), log_snr, views, uncond=False)
    twice = torch.stack([now[0], before[0]])
    expected = torch.cat(
        [
            _expected(_x_t(2)[:1], twice, views, log_snr[:1]),
            _expected(_x_t(2)[1:], now[1:], views, log_snr[1:]),
        ]
    )
    torch.testing.assert_close(camera, expected, atol=1e-4, rtol=1e-4)


def test_background_of_buffered_renderings() -> None:
    score = ClosedFormPixelScore(buffer_size=4)
    rgba, views = _batch([0.0, 1.0, 2.0])
    _update(score, rgba, views)
    elsewhere = Views(views.cameras, torch.tensor([0.9, 0.1, 0.3]))
    log_snr = torch.full((3,), -2.0)
    uncond = branch(score, _x_t(3), log_snr, elsewhere, uncond=True)
    expected = _expected(_x_t(3), rgba, elsewhere, log_snr)
    torch.testing.assert_close(uncond, expected, atol=1e-4, rtol=1e-4)


def test_both_predictions_at_once() -> None:
    score = ClosedFormPixelScore(buffer_size=4)
    for i in range(2):
        rgba, views = _batch([0.1 + i, 0.2 + i], seed=i)
        _update(score, rgba, views)
    x_t, log_snr = _x_t(2), torch.tensor([-3.0, -2.0])
    both = score.predict_noise(x_t, log_snr, views, NeededPredictions(uncond=True, cond=True))
    for found, uncond in zip(both, (True, False), strict=True):
        alone = branch(score, x_t, log_snr, views, uncond=uncond)
        torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-5)
    none = score.predict_noise(x_t, log_snr, views, NeededPredictions(uncond=False, cond=False))
    assert not any(bool(each.any()) for each in none)
