"""The Inception metrics: their bounds, their meaning, and the Inception Score."""

import math

import pytest
import torch
from torch import Tensor

from gs_esd.evaluation.information import (
    inception_gain,
    inception_quality,
    inception_variety,
    view_information,
)


def probabilities(rows: int = 12, classes: int = 5, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, classes, generator=generator).mul(2).softmax(1)


def test_inception_metrics_by_their_definition() -> None:
    p = probabilities()
    rows = [-sum(float(x) * math.log(float(x)) for x in row) for row in p]
    mean = [float(column.mean()) for column in p.T]
    quality, variety = sum(rows) / len(rows), -sum(x * math.log(x) for x in mean)
    assert inception_quality(p) == pytest.approx(quality, rel=1e-5)
    assert inception_variety(p) == pytest.approx(variety, rel=1e-5)
    assert inception_gain(p) == pytest.approx((variety - quality) / quality, rel=1e-4)


def test_view_information_is_log_inception_score() -> None:
    p = probabilities()
    divergence = (p * (p / p.mean(0)).log()).sum(1).mean()
    assert view_information(p) == pytest.approx(float(divergence), rel=1e-5)


@pytest.mark.parametrize("seed", range(5))
def test_view_information_bounds(seed: int) -> None:
    p = probabilities(rows=3, classes=9, seed=seed)
    assert 0 <= view_information(p) <= math.log(3)


def test_equal_views() -> None:
    p = probabilities()[:1].expand(8, -1)
    assert view_information(p) == pytest.approx(0, abs=1e-12)
    assert inception_gain(p) == pytest.approx(0, abs=1e-12)


def test_class_for_every_view() -> None:
    certain = torch.eye(4)
    assert inception_quality(certain) == 0
    assert inception_variety(certain) == pytest.approx(math.log(4))
    assert inception_gain(certain) == math.inf


def test_gain_of_single_certain_view() -> None:
    assert math.isnan(inception_gain(torch.eye(3)[:1]))


@pytest.mark.parametrize("wrong", [2 * torch.eye(3), torch.tensor([[1.5, -0.5]])])
def test_rows_that_are_no_distributions(wrong: Tensor) -> None:
    with pytest.raises(ValueError, match="distributions"):
        inception_quality(wrong)
