"""CLIP's numbers on features that are made up."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from gs_esd.evaluation.clip_scores import (
    SURE,
    clip_score,
    faces_proxy,
    r_precision,
    view_probabilities,
    view_prompts,
)


def features(rows: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(rows, 6, generator=generator, dtype=torch.float64), dim=1)


def test_the_score_is_100_along_the_prompt_and_never_below_0() -> None:
    prompt = torch.tensor([1.0, 0.0])
    images = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-1.0, 0.0]])
    torch.testing.assert_close(clip_score(images, prompt), torch.tensor([100.0, 60.0, 0.0, 0.0]))


def test_r_precision_is_the_share_of_views_nearest_to_their_own_prompt() -> None:
    prompts = torch.eye(3)
    images = torch.tensor([[0.8, 0.6, 0.0], [0.6, 0.8, 0.0], [0.8, 0.0, 0.6], [0.6, 0.0, 0.8]])
    assert r_precision(images, prompts[0], prompts[1:]) == 0.5
    assert r_precision(images, prompts[0], prompts[1:2]) == 0.75
    assert r_precision(images, prompts[1], prompts[2:]) == 0.5


def test_a_tie_is_no_success() -> None:
    images, prompts = torch.tensor([[1.0, 0.0]]).expand(5, 2), torch.tensor([[0.6, 0.8]])
    assert r_precision(images, prompts[0], prompts) == 0


def test_r_precision_needs_rivals() -> None:
    with pytest.raises(ValueError, match="at least one other"):
        r_precision(features(2), features(1)[0], features(1)[:0])


@given(seed=st.integers(0, 1000))
def test_the_order_of_the_prompts_does_not_matter(seed: int) -> None:
    images, own, others = features(5, seed), features(1, seed + 1)[0], features(4, seed + 2)
    turned = others.flip(0)
    assert r_precision(images, own, others) == r_precision(images, own, turned)
    torch.testing.assert_close(
        view_probabilities(images, others, 30.0).flip(1),
        view_probabilities(images, turned, 30.0),
    )


@given(seed=st.integers(0, 1000), scale=st.floats(0, 100))
def test_probabilities_of_views_sum_to_one(seed: int, scale: float) -> None:
    probabilities = view_probabilities(features(5, seed), features(3, seed + 1), scale)
    assert probabilities.min() >= 0
    torch.testing.assert_close(probabilities.sum(1), torch.ones(5, dtype=torch.float64))


def test_the_logit_scale_is_an_inverse_temperature() -> None:
    """Cosines 0.8 and 0.6, at a scale of 5, are a logit of 1 apart."""
    probabilities = view_probabilities(torch.tensor([[0.8, 0.6]]), torch.eye(2), 5.0)
    assert probabilities[0, 0].item() == pytest.approx(1 / (1 + math.exp(-1)))


def test_views_are_described_in_the_order_of_their_names() -> None:
    assert view_prompts("a castle") == [
        "front view of a castle",
        "side view of a castle",
        "back view of a castle",
    ]


@pytest.mark.parametrize(
    ("circle", "lobes", "janus_free"),
    [
        ("FF.....F", 1, True),
        ("F...F...", 2, False),
        ("F?.?F?.?", 2, False),
        ("F?F?....", 1, True),
        ("FFFFFFFF", 1, False),
        ("........", 0, False),
        ("????????", 0, False),
    ],
)
def test_the_proxy_counts_fronts_that_something_else_parts(
    circle: str, lobes: int, janus_free: bool
) -> None:
    front = torch.tensor([{"F": SURE + 0.01, ".": 1 - SURE - 0.01, "?": 0.5}[c] for c in circle])
    rest = 1 - front
    for side in (0.1, 0.9):
        probabilities = torch.stack([front, side * rest, (1 - side) * rest], dim=1)
        faces = faces_proxy(probabilities)
        assert (faces.lobes, faces.janus_free) == (lobes, janus_free)
        assert faces.share == circle.count("F") / len(circle)
