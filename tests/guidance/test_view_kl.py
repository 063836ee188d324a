"""Whether λ can act, by numbers."""

import math

import pytest
import torch

from gs_esd.diffusion.process import alpha_sigma
from gs_esd.guidance.view_kl import (
    INERT_VIEW_KL,
    MIN_ACTIVE_SHARE,
    MONITORED_PROGRESS,
    ViewKlMonitor,
    mean_squared_distance,
    view_kl,
)

X_0 = torch.randn(5, 4, 3, 3, generator=torch.Generator().manual_seed(0))
INSIDE = sum(MONITORED_PROGRESS) / 2
BEGIN, END = MONITORED_PROGRESS
HIGH, LOW = 2 * INERT_VIEW_KL, INERT_VIEW_KL / 2


def test_distance_is_the_mean_squared_distance_of_all_pairs() -> None:
    pairs = [(i, j) for i in range(5) for j in range(5) if i != j]
    expected = sum(float((X_0[i] - X_0[j]).square().sum()) for i, j in pairs) / len(pairs)
    assert float(mean_squared_distance(X_0)) == pytest.approx(expected)
    assert float(mean_squared_distance(X_0 + 1000.0)) == pytest.approx(expected, rel=1e-3)


def test_view_kl_is_the_mean_evidence_of_a_noisy_rendering_for_its_own_camera() -> None:
    # log p(x_t | c) - log p(x_t | c') over pairs of cameras and draws of the noise.
    log_snr = torch.tensor([-3.0, -1.0])
    generator = torch.Generator().manual_seed(1)
    for level, expected in zip(log_snr, view_kl(X_0[:2], log_snr), strict=True):
        alpha, sigma = alpha_sigma(level)
        eps = torch.randn(20_000, *X_0.shape[1:], generator=generator)
        to_own = eps.square().flatten(1).sum(1)
        to_other = (eps + alpha / sigma * (X_0[0] - X_0[1])).square().flatten(1).sum(1)
        assert float((to_other - to_own).mean() / 2) == pytest.approx(float(expected), rel=0.03)


def test_renderings_that_are_all_alike_have_none() -> None:
    assert view_kl(X_0[:1].repeat(3, 1, 1, 1), torch.zeros(3)).tolist() == [0.0] * 3


def told(view_kls: list[float], progress: list[float]) -> list[str]:
    """What a run is told whose images have the given view KL at the given times."""
    count = ViewKlMonitor()
    messages = [count.add(torch.tensor(view_kls), p) for p in progress]
    return [message for message in messages if message is not None]


def test_a_run_whose_renderings_are_told_apart_is_warned_once() -> None:
    [warning] = told([HIGH, HIGH], [0.0, INSIDE, INSIDE, END, 0.5, 0.9])
    assert "only 0 of 4 renderings" in warning
    assert "timesteps.*" in warning


@pytest.mark.parametrize(("acting", "warned"), [(0, True), (1, True), (2, False), (20, False)])
def test_the_warning_is_about_the_share_of_images_where_entropy_acts(
    acting: int, warned: bool
) -> None:
    assert math.isclose(MIN_ACTIVE_SHARE, 2 / 20)
    view_kls = acting * [LOW] + (20 - acting) * [HIGH]
    assert bool(told(view_kls, [INSIDE, END])) == warned


@pytest.mark.parametrize("progress", [[0.0, BEGIN - 0.01, END], [0.5, 0.9]])
def test_images_outside_the_window_do_not_count(progress: list[float]) -> None:
    assert told([HIGH], progress) == []


def test_a_count_goes_on_from_its_state() -> None:
    count, resumed = ViewKlMonitor(), ViewKlMonitor()
    count.add(torch.tensor([HIGH, LOW]), INSIDE)
    resumed.load_state_dict(count.state_dict())
    for each in (count, resumed):
        each.add(torch.full((98,), HIGH), INSIDE)
    assert count.add(torch.tensor([LOW]), END) == resumed.add(torch.tensor([LOW]), END)
    assert resumed.state_dict() == {"seen": 0, "acting": 0}
