"""CLIP's scores on features chosen for known results, and the rivals of R-precision."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from gs_esd.errors import UserError
from gs_esd.evaluation.clip import (
    FRONT_PROBABILITY,
    Clip,
    Rivals,
    clip_score,
    faces_proxy,
    r_precision,
    view_probabilities,
    view_prompts,
)
from tests.helpers.tiny_clip import write_clip


def features(rows: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(rows, 6, generator=generator, dtype=torch.float64), dim=1)


def test_clip_score_range() -> None:
    prompt = torch.tensor([1.0, 0.0])
    images = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0], [-1.0, 0.0]])
    torch.testing.assert_close(clip_score(images, prompt), torch.tensor([100.0, 60.0, 0.0, 0.0]))


def test_r_precision_counts_nearest_prompts() -> None:
    prompts = torch.eye(3)
    images = torch.tensor([[0.8, 0.6, 0.0], [0.6, 0.8, 0.0], [0.8, 0.0, 0.6], [0.6, 0.0, 0.8]])
    assert r_precision(images, prompts[0], prompts[1:]) == 0.5
    assert r_precision(images, prompts[0], prompts[1:2]) == 0.75
    assert r_precision(images, prompts[1], prompts[2:]) == 0.5


def test_r_precision_of_ties() -> None:
    images, prompts = torch.tensor([[1.0, 0.0]]).expand(5, 2), torch.tensor([[0.6, 0.8]])
    assert r_precision(images, prompts[0], prompts) == 0


def test_r_precision_without_rivals() -> None:
    with pytest.raises(ValueError, match="at least one other"):
        r_precision(features(2), features(1)[0], features(1)[:0])


@given(seed=st.integers(0, 1000))
def test_order_of_prompts(seed: int) -> None:
    images, own, others = features(5, seed), features(1, seed + 1)[0], features(4, seed + 2)
    turned = others.flip(0)
    assert r_precision(images, own, others) == r_precision(images, own, turned)
    torch.testing.assert_close(
        view_probabilities(images, others, 30.0).flip(1),
        view_probabilities(images, turned, 30.0),
    )


@given(seed=st.integers(0, 1000), scale=st.floats(0, 100))
def test_view_probabilities_sum_to_one(seed: int, scale: float) -> None:
    probabilities = view_probabilities(features(5, seed), features(3, seed + 1), scale)
    assert probabilities.min() >= 0
    torch.testing.assert_close(probabilities.sum(1), torch.ones(5, dtype=torch.float64))


def test_logit_scale_is_inverse_temperature() -> None:
    """Cosines 0.8 and 0.6, at a scale of 5, are a logit of 1 apart."""
    probabilities = view_probabilities(torch.tensor([[0.8, 0.6]]), torch.eye(2), 5.0)
    assert probabilities[0, 0].item() == pytest.approx(1 / (1 + math.exp(-1)))


def test_view_prompts() -> None:
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
def test_faces_proxy(circle: str, lobes: int, janus_free: bool) -> None:
    front = torch.tensor(
        [
            {"F": FRONT_PROBABILITY + 0.01, ".": 1 - FRONT_PROBABILITY - 0.01, "?": 0.5}[c]
            for c in circle
        ]
    )
    rest = 1 - front
    for side in (0.1, 0.9):
        probabilities = torch.stack([front, side * rest, (1 - side) * rest], dim=1)
        faces = faces_proxy(probabilities)
        assert (faces.lobes, faces.janus_free) == (lobes, janus_free)
        assert faces.share == circle.count("F") / len(circle)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return Clip.load(str(write_clip(tmp_path_factory.mktemp("clip"))))


def test_own_prompt_is_no_rival(clip: Clip, tmp_path: Path) -> None:
    file = tmp_path / "rivals.txt"
    file.write_text("a castle\na house\nA  Castle\n", encoding="utf-8")
    rivals = Rivals.read(file, clip)
    torch.testing.assert_close(rivals.without("a castle"), clip.encode_prompts(["a house"]))
    assert len(rivals.without("a pig")) == 3
    only = Rivals(rivals.prompts[:1], rivals.features[:1])
    with pytest.raises(UserError, match='no prompt but "a castle"'):
        only.without("a castle")


def test_unreadable_rivals(clip: Clip, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        Rivals.read(tmp_path / "missing", clip)
    (tmp_path / "empty").write_text("\n \n")
    with pytest.raises(UserError, match="is empty"):
        Rivals.read(tmp_path / "empty", clip)
