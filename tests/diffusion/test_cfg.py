"""Classifier-free guidance and Perp-Neg."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from gs_esd.diffusion.cfg import classifier_free_guidance, perp_neg_guidance, perpendicular

SCALE = st.floats(-10, 100)


def _noises(n: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 3, 4, 5, 5, generator=generator).double()  # n of [B, C, h, w]


def _inner(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((-3, -2, -1))


def test_scale_zero_and_one() -> None:
    eps_uncond, eps_cond = _noises(2)
    found = classifier_free_guidance(eps_uncond, eps_cond, 1.0)
    torch.testing.assert_close(found, eps_cond)
    assert torch.equal(classifier_free_guidance(eps_uncond, eps_cond, 0.0), eps_uncond)


@given(SCALE)
def test_guidance_is_linear_in_scale(scale: float) -> None:
    eps_uncond, eps_cond = _noises(2)
    gone = classifier_free_guidance(eps_uncond, eps_cond, scale) - eps_uncond
    torch.testing.assert_close(gone, scale * (eps_cond - eps_uncond))


@given(SCALE)
def test_perp_neg_with_zero_weights(scale: float) -> None:
    eps_uncond, eps_cond, *negative = _noises(4)
    weights = torch.zeros(3, 2).double()
    found = perp_neg_guidance(eps_uncond, eps_cond, torch.stack(negative), weights, scale)
    torch.testing.assert_close(found, classifier_free_guidance(eps_uncond, eps_cond, scale))


def test_perp_neg_along_the_prompt() -> None:
    eps_uncond, eps_cond, *negative = _noises(5)
    weights = torch.tensor([[-2.0, -0.5, 1.0], [0.0, -3.0, 0.0], [4.0, 0.0, 0.0]]).double()
    found = perp_neg_guidance(eps_uncond, eps_cond, torch.stack(negative), weights, 7.5)
    towards = eps_cond - eps_uncond
    along = _inner(found - eps_uncond, towards)
    torch.testing.assert_close(along, 7.5 * _inner(towards, towards))


def test_perp_neg_with_parallel_negative() -> None:
    eps_uncond, eps_cond = _noises(2)
    same = (eps_uncond + 0.3 * (eps_cond - eps_uncond))[None]
    weights = torch.full((3, 1), -5.0).double()
    found = perp_neg_guidance(eps_uncond, eps_cond, same, weights, 7.5)
    torch.testing.assert_close(found, classifier_free_guidance(eps_uncond, eps_cond, 7.5))


def test_perp_neg_steers_away() -> None:
    eps_uncond, eps_cond, negative = _noises(3)
    weights = torch.full((3, 1), -1.0).double()
    found = perp_neg_guidance(eps_uncond, eps_cond, negative[None], weights, 1.0)
    plain = classifier_free_guidance(eps_uncond, eps_cond, 1.0)
    assert bool((_inner(found - plain, negative - eps_uncond) < 0).all())


def test_perpendicular() -> None:
    vectors, along = _noises(2, seed=3), _noises(1, seed=4)[0]
    found = perpendicular(vectors, along)
    torch.testing.assert_close(_inner(found, along), torch.zeros(2, 3).double())
    rest = vectors - found
    share = _inner(rest, along) / _inner(along, along)
    torch.testing.assert_close(rest, share[..., None, None, None] * along)


def test_perpendicular_to_zero() -> None:
    # With a negative prompt equal to the prompt, Δ⁺ is zero; the result must stay finite.
    vectors = _noises(2)
    assert torch.equal(perpendicular(vectors, torch.zeros(3, 4, 5, 5).double()), vectors)
