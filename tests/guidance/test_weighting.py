"""ω(t) of every kind, against its formula written with ᾱ."""

import pytest
import torch

from gs_esd.guidance.weighting import (
    WeightingFn,
    one,
    one_minus_alpha,
    one_minus_alpha_bar,
    sigma_over_alpha,
)

ALPHA_BAR = torch.tensor([0.0047, 0.1, 0.5, 0.9, 0.9991]).double()
"""From Stable Diffusion's noisiest level to its clearest."""


@pytest.mark.parametrize(
    ("weight", "expected"),
    [
        (one_minus_alpha_bar, 1 - ALPHA_BAR),
        (sigma_over_alpha, ((1 - ALPHA_BAR) / ALPHA_BAR).sqrt()),
        (one_minus_alpha, 1 - ALPHA_BAR.sqrt()),
        (one, torch.ones(5).double()),
    ],
)
def test_weights_are_their_formulas(weight: WeightingFn, expected: torch.Tensor) -> None:
    torch.testing.assert_close(weight(ALPHA_BAR.logit()), expected)


def test_sigma_over_alpha_makes_the_gradient_a_difference_of_denoised_images() -> None:
    # ω (ε_1 - ε_2) = x_0 of 2 - x_0 of 1 where x_0 = (x_t - σ ε) / α.
    alpha, sigma = ALPHA_BAR.sqrt(), (1 - ALPHA_BAR).sqrt()
    x_t, eps_1, eps_2 = torch.randn(3, 5, generator=torch.Generator().manual_seed(0)).double()
    difference = (x_t - sigma * eps_2) / alpha - (x_t - sigma * eps_1) / alpha
    torch.testing.assert_close(sigma_over_alpha(ALPHA_BAR.logit()) * (eps_1 - eps_2), difference)
