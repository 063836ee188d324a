import math
from dataclasses import replace

import pytest
import torch

from gs_esd.registration.verdict import (
    Evidence,
    beside_neighbours,
    judge,
    largest_gap,
    outliers,
    relative_psnr,
    within_groups,
)
from tests.helpers.turntable_photos import even_azimuths

GOOD = Evidence(
    chi=0.03,
    largest_gap=1.2,
    moves=(2.0, 0.4, 0.2),
    accepted=(True, True, True),
    jumps=(0.08, 0.0, 0.0),
    outliers=(),
    photographs=72,
)


def test_good_fit() -> None:
    verdict = judge(GOOD)
    assert verdict.judgement == "good"
    assert verdict.reasons == ()


@pytest.mark.parametrize(
    ("changes", "judgement", "word"),
    [
        # a box that looks alike from front and back
        ({"chi": 0.38, "moves": (8.8, 10.0, 12.3), "accepted": (False,) * 3}, "failed", "alike"),
        # two elevations in one folder
        ({"chi": 0.14, "moves": (2.3, 1.5, 1.1)}, "doubtful", "even spacing"),
        ({"moves": (2.3, 0.9, 0.7), "accepted": (True, True, False)}, "doubtful", "even spacing"),
        # a mug whose handle is hidden in a third of the turn
        (
            {"chi": 0.12, "moves": (4.6, 0.6, 0.2), "jumps": (0.03, 0.03)},
            "doubtful",
            "first search",
        ),
        ({"jumps": (0.12, 0.12)}, "doubtful", "9 of 72"),
        ({"outliers": tuple(f"{i}.jpg" for i in range(8))}, "doubtful", "0.jpg, 1.jpg"),
        # a known order: chi and moves are by construction those of a turntable
        ({"lead_db": 0.3}, "failed", "directions"),
    ],
)
def test_bad_fits(changes: dict[str, object], judgement: str, word: str) -> None:
    verdict = judge(replace(GOOD, **changes))  # type: ignore[arg-type]
    assert verdict.judgement == judgement
    assert any(word in reason for reason in verdict.reasons)


def test_large_first_move_that_was_right_is_good() -> None:
    assert judge(replace(GOOD, moves=(6.9, 0.4, 0.2))).judgement == "good"


def test_poor_search_that_the_fit_has_repaired_is_good() -> None:
    repaired = replace(GOOD, chi=0.27, moves=(8.5, 3.5, 1.8, 0.15), accepted=(False, *3 * (True,)))
    assert judge(repaired).judgement == "good"


def test_known_order_is_good_if_one_direction_leads() -> None:
    ordered = replace(GOOD, lead_db=5.0, moves=(), accepted=(), jumps=())
    assert judge(ordered).judgement == "good"


def test_numbers_for_the_metrics_file() -> None:
    content = judge(replace(GOOD, jumps=(0.1, 0.2))).to_dict()
    assert content["verdict"] == "doubtful"
    assert content["chi"] == 0.03
    assert len(content["reasons"]) == 1


def test_largest_gap_in_steps() -> None:
    azimuth = even_azimuths(36)
    assert largest_gap(azimuth) == pytest.approx(1.0, abs=1e-4)
    without = azimuth[(azimuth < 1.0) | (azimuth > 2.0)]
    assert largest_gap(without) == pytest.approx(7.0 * len(without) / 36, rel=0.01)


def test_held_out_photographs_are_compared_with_each_other() -> None:
    psnr = torch.tensor([30.0, 25.0, 30.0, 20.0, 31.0, 25.0])
    trained, held_out = torch.tensor([0, 2, 3, 4]), torch.tensor([1, 5])
    relative = within_groups(psnr, (trained, held_out))
    assert relative.tolist() == [0.0, 0.0, 0.0, -10.0, 1.0, 0.0]
    assert within_groups(psnr, (torch.arange(6), trained[:0])).tolist() == (psnr - 25).tolist()


def test_outliers_by_name_the_worst_first() -> None:
    relative = torch.tensor([0.0, -2.9, 1.0, -10.0, -0.5, -1.0])
    names = ("a", "b", "c", "d", "e", "f")
    assert outliers(names, relative) == ("d",)
    assert outliers(names, relative + torch.tensor([0, -3.0, 0, 0, 0, 0])) == ("d", "b")


def test_uneven_photographs_at_many_elevations_are_no_failure() -> None:
    uneven = replace(GOOD, chi=0.41, largest_gap=10.0, moves=(), accepted=())
    assert judge(uneven).judgement == "failed"
    assert judge(replace(uneven, is_turntable=False)).judgement == "good"
    lost = replace(uneven, is_turntable=False, outliers=("a",) * 10)
    assert judge(lost).judgement == "doubtful"


def test_neighbours_are_those_of_the_same_elevation() -> None:
    """Photographs from above are worse, all around; one of those from the side is too."""
    n = 48
    azimuth = (2 * math.pi * torch.arange(n) / n).repeat(2)
    elevation = torch.tensor([0.1, 1.0]).repeat_interleave(n)
    psnr = torch.where(elevation > 0.5, 30.0, 35.0)
    psnr[7] = 30
    relative = beside_neighbours(psnr, azimuth, elevation)
    assert relative.argmin() == 7
    assert relative.abs().sum() == relative[7].abs() == 5


def test_outlier_fits_worse_by_frame_and_object_and_badly() -> None:
    n = 24
    azimuth, elevation = 2 * math.pi * torch.arange(n) / n, torch.zeros(n)
    groups = (torch.arange(0, n, 2), torch.arange(1, n, 2))
    frame, of_object = torch.full((n,), 33.0), torch.full((n,), 28.0)
    frame[1::2] -= 4  # held out
    frame[[2, 5, 8]] -= 5
    of_object[[2, 8, 11]] -= 5
    found = relative_psnr(frame, of_object, groups, azimuth, elevation)
    assert outliers(tuple(map(str, range(n))), found) == ("2", "8")
    well = relative_psnr(frame + 8, of_object, groups, azimuth, elevation)
    assert outliers(tuple(map(str, range(n))), well) == ()


def test_detailed_side_is_no_outlier_but_a_misplaced_photograph_is() -> None:
    n = 72
    azimuth = 2 * math.pi * torch.arange(n) / n
    # Up to 8 dB less towards the front, as of a cat's face, and one photograph in a wrong place.
    psnr = 40 - 8 * torch.exp(3 * (azimuth.cos() - 1))
    psnr[20] -= 6
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    names = tuple(map(str, order.tolist()))
    relative = beside_neighbours(psnr[order], azimuth[order], torch.full((n,), 0.3))
    assert outliers(names, relative) == ("20",)
    assert len(outliers(names, psnr[order] - psnr.median())) > n // 10
