"""Runs on photographs beside the truth: azimuths of cameras, and sides of the splats."""

import json
import math
from pathlib import Path

import pytest
import torch
from torch.nn import Parameter, ParameterDict

from gs_esd.errors import UserError
from gs_esd.evaluation.command import main
from gs_esd.evaluation.photographs import SIDES, measure_photographs, read_truth
from tests.helpers.photo_runs import PHOTOS, make_photo_run
from tests.helpers.statue import statue

TRUTH = 2 * math.pi * torch.arange(PHOTOS) / PHOTOS


@pytest.mark.parametrize("sign", [1, -1])
def test_right_run_up_to_rotation_and_sign(sign: int, tmp_path: Path) -> None:
    run_dir, truth = make_photo_run(tmp_path, TRUTH, sign=sign)
    measures = measure_photographs(run_dir, truth)
    assert measures.photographs == PHOTOS
    assert measures.azimuth_coherence == pytest.approx(1, abs=1e-5)
    assert measures.azimuth_error_deg < 1e-3
    assert measures.azimuth_within_10_deg == 1
    assert measures.sides_in_place == SIDES


def test_wrong_cameras_beside_right_splats(tmp_path: Path) -> None:
    fitted = TRUTH.clone()
    fitted[: PHOTOS // 4] += 2.5
    measures = measure_photographs(*make_photo_run(tmp_path, fitted))
    assert measures.azimuth_within_10_deg == pytest.approx(0.75)
    assert measures.azimuth_error_deg < 1e-3
    assert measures.azimuth_coherence < 0.8
    assert measures.sides_in_place == SIDES


def test_right_cameras_beside_round_splats(tmp_path: Path) -> None:
    round_splats = statue(sh_degree=0)
    means = round_splats["means"].detach().clone()
    radius = means[:, :2].norm(dim=1)
    turn = 2 * math.pi * torch.rand(len(means), generator=torch.Generator().manual_seed(0))
    means[:, 0], means[:, 1] = radius * turn.cos(), radius * turn.sin()
    splats = ParameterDict({**round_splats, "means": Parameter(means)})
    measures = measure_photographs(*make_photo_run(tmp_path, TRUTH, splats))
    assert measures.azimuth_error_deg < 1e-3
    assert measures.sides_in_place is not None
    assert measures.sides_in_place <= SIDES // 2


def test_sides_without_photographs_are_unknown(tmp_path: Path) -> None:
    run_dir, truth = make_photo_run(tmp_path, TRUTH)
    (tmp_path / "photos" / "03.png").unlink()
    measures = measure_photographs(run_dir, truth)
    assert measures.sides_in_place is None
    assert measures.azimuth_error_deg < 1e-3


def test_truth_of_some_photographs(tmp_path: Path) -> None:
    run_dir, truth = make_photo_run(tmp_path, TRUTH)
    some = dict(list(truth.items())[::3])
    assert measure_photographs(run_dir, {**some, "other.png": 5.0}).photographs == len(some)
    with pytest.raises(UserError, match=r"0 of 24 photographs .* such as 00\.png"):
        measure_photographs(run_dir, {"other.png": 5.0})


@pytest.mark.parametrize("text", [None, "", "[1]", '{"a": "b"}', '{"a": null}'])
def test_unreadable_truth(text: str | None, tmp_path: Path) -> None:
    file = tmp_path / "truth.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UserError, match="azimuths in degrees by file name"):
        read_truth(file)


def test_command_prints_the_measures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir, truth = make_photo_run(tmp_path, TRUTH)
    (tmp_path / "truth.json").write_text(json.dumps(truth), encoding="utf-8")
    main([str(run_dir), "--truth", str(tmp_path / "truth.json")])
    (line,) = [json.loads(text) for text in capsys.readouterr().out.splitlines()]
    assert set(line) == {
        *("path", "prompt", "photographs", "azimuth_coherence", "azimuth_error_deg"),
        *("azimuth_within_10_deg", "sides_in_place", "sides"),
    }
    assert line["sides_in_place"] == line["sides"] == SIDES


def test_command_on_a_run_without_cameras(tmp_path: Path) -> None:
    run_dir, truth = make_photo_run(tmp_path, TRUTH)
    (tmp_path / "truth.json").write_text(json.dumps(truth), encoding="utf-8")
    (run_dir / "cameras.json").unlink()
    with pytest.raises(SystemExit, match=r"no readable cameras\.json"):
        main([str(run_dir), "--truth", str(tmp_path / "truth.json")])
