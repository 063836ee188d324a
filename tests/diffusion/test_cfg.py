"""Guidance towards a prompt and away from others."""

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


def test_scale_one_is_the_prompt_alone_and_zero_none_of_it() -> None:
    eps_uncond, eps_cond = _noises(2)
    found = classifier_free_guidance(eps_uncond, eps_cond, 1.0)
    torch.testing.assert_close(found, eps_cond)
    assert torch.equal(classifier_free_guidance(eps_uncond, eps_cond, 0.0), eps_uncond)


@given(SCALE)
def test_guidance_goes_from_one_towards_the_other_by_the_scale(scale: float) -> None:
    eps_uncond, eps_cond = _noises(2)
    gone = classifier_free_guidance(eps_uncond, eps_cond, scale) - eps_uncond
    torch.testing.assert_close(gone, scale * (eps_cond - eps_uncond))


@given(SCALE)
def test_perp_neg_without_weights_is_classifier_free_guidance(scale: float) -> None:
    eps_uncond, eps_cond, *negative = _noises(4)
    weights = torch.zeros(3, 2).double()
    found = perp_neg_guidance(eps_uncond, eps_cond, torch.stack(negative), weights, scale)
    torch.testing.assert_close(found, classifier_free_guidance(eps_uncond, eps_cond, scale))


def test_negatives_never_change_how_far_a_image_goes_towards_the_prompt() -> None:
    eps_uncond, eps_cond, *negative = _noises(5)
    weights = torch.tensor([[-2.0, -0.5, 1.0], [0.0, -3.0, 0.0], [4.0, 0.0, 0.0]]).double()
    found = perp_neg_guidance(eps_uncond, eps_cond, torch.stack(negative), weights, 7.5)
    towards = eps_cond - eps_uncond
    along = _inner(found - eps_uncond, towards)
    torch.testing.assert_close(along, 7.5 * _inner(towards, towards))


def test_a_negative_that_says_the_same_as_the_prompt_does_nothing() -> None:
    eps_uncond, eps_cond = _noises(2)
    same = (eps_uncond + 0.3 * (eps_cond - eps_uncond))[None]
    weights = torch.full((3, 1), -5.0).double()
    found = perp_neg_guidance(eps_uncond, eps_cond, same, weights, 7.5)
    torch.testing.assert_close(found, classifier_free_guidance(eps_uncond, eps_cond, 7.5))


def test_a_negative_weight_turns_away_from_its_negative() -> None:
    eps_uncond, eps_cond, negative = _noises(3)
    weights = torch.full((3, 1), -1.0).double()
    found = perp_neg_guidance(eps_uncond, eps_cond, negative[None], weights, 1.0)
    plain = classifier_free_guidance(eps_uncond, eps_cond, 1.0)
    assert bool((_inner(found - plain, negative - eps_uncond) < 0).all())


def test_the_perpendicular_part_is_perpendicular_in_each_image_and_the_rest_parallel() -> None:
    vectors, along = _noises(2, seed=3), _noises(1, seed=4)[0]
    found = perpendicular(vectors, along)
    torch.testing.assert_close(_inner(found, along), torch.zeros(2, 3).double())
    rest = vectors - found
    share = _inner(rest, along) / _inner(along, along)
    torch.testing.assert_close(rest, share[..., None, None, None] * along)


def test_nothing_is_perpendicular_to_no_direction() -> None:
    # A prompt equal to the negative prompt: Δ⁺ is zero, and must not make anything infinite.
    vectors = _noises(2)
    assert torch.equal(perpendicular(vectors, torch.zeros(3, 4, 5, 5).double()), vectors)
