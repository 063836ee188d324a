"""The measure of how far a LoRA tells cameras apart; not how far one does, which takes minutes."""

from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.quality import lora_camera
from gs_esd.cameras.views import Views
from gs_esd.variational.base import NeededPredictions, PsiPredictions
from gs_esd.variational.closed_form import ClosedFormLatentScore
from tests.helpers.small_images import learn, views_from

X_0 = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(0))
VIEWS = views_from(torch.arange(6) / 6)


class Follower:
    """A score whose two branches lie `slope` times as far apart as the exact one's."""

    def __init__(self, exact: ClosedFormLatentScore, slope: float) -> None:
        self.exact, self.slope = exact, slope

    def predict_noise(
        self, x_t: Tensor, log_snr: Tensor, views: Views, needed: NeededPredictions
    ) -> PsiPredictions:
        uncond, cond = self.exact.predict_noise(x_t, log_snr, views, needed)
        return PsiPredictions(7 + uncond, 7 + uncond + self.slope * (cond - uncond))


@pytest.mark.parametrize("slope", [0.0, 0.3, 1.0, -1.0])
def test_the_slope_is_how_far_a_score_follows_the_exact_one(slope: float) -> None:
    exact = ClosedFormLatentScore(6)
    learn(exact, X_0, VIEWS)
    follower: Any = Follower(exact, slope)
    found = lora_camera.slopes(follower, exact, X_0, VIEWS)
    assert found == pytest.approx([slope] * len(lora_camera.LEVELS), abs=1e-4)


def test_same_options_share_one_row(tmp_path: Any) -> None:
    file = tmp_path / "table.md"
    for row in (
        "| 0.002, 0.01 | 1 of 16, 0 | 0.1 | a | b | c |",
        "| 0.002, 0.01 | 4 of 4, 64 | 0.1 | d | e | f |",
        "| 0.002, 0.01 | 1 of 16, 0 | 0.1 | g | h | i |",
    ):
        lora_camera._add(file, row)
    *_, first, second = file.read_text().splitlines()
    assert first == "| 0.002, 0.01 | 1 of 16, 0 | 0.1 | g | h | i |"
    assert second == "| 0.002, 0.01 | 4 of 4, 64 | 0.1 | d | e | f |"
