"""The benchmark of photographs: sets, runs judged by the truth, and the table."""

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.photographs import __main__ as benchmark
from benchmarks.photographs import judged_run, zoo_sets
from benchmarks.photographs.outcomes import Outcome, to_table
from benchmarks.photographs.sets import LabelledSet, coil_sets, find_sets, save_truth, subset
from tests.helpers.photo_runs import PHOTOS, make_photo_run


def make_set(work_dir: Path, name: str = "shoe", n: int = 6) -> LabelledSet:
    """A set of n grey photographs, each with its number as its brightness."""
    folder = work_dir / name
    folder.mkdir(parents=True)
    names = [f"{(5 * i) % n}.png" for i in range(n)]
    for i, file in enumerate(names):
        Image.new("L", (4, 4), i).save(folder / file)
    truth = {file: i * 360.0 / n for i, file in enumerate(names)}
    return save_truth(LabelledSet(name, folder, truth))


def brightness(photos: LabelledSet, name: str) -> int:
    with Image.open(photos.folder / name) as image:
        return int(np.array(image)[0, 0])


def test_sets_are_folders_with_a_truth_beside_them(tmp_path: Path) -> None:
    photos = make_set(tmp_path)
    (tmp_path / "no truth").mkdir()
    (tmp_path / "no folder.json").write_text("{}")
    assert find_sets(tmp_path) == [photos]


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("ordered", [False, True])
def test_subset_keeps_each_azimuth(every: int, ordered: bool, tmp_path: Path) -> None:
    photos = make_set(tmp_path / "sets")
    part = subset(photos, tmp_path / "work_dir", every=every, ordered=ordered)
    assert {brightness(part, name) * 60.0: None for name in part.truth} == {
        degrees: None for degrees in part.truth.values()
    }
    assert sorted(part.truth.values()) == [60.0 * i for i in range(0, 6, every)]
    assert sorted(path.name for path in part.folder.iterdir()) == sorted(part.truth)
    in_order = [part.truth[name] for name in sorted(part.truth)]
    assert (in_order == sorted(in_order)) == ordered
    assert json.loads(part.truth_file.read_text()) == part.truth


def test_coil_layout(tmp_path: Path) -> None:
    for number in (3, 14):
        for degrees in (0, 5, 355):
            value = 20 + number + degrees // 5
            Image.new("L", (4, 4), value).save(tmp_path / f"obj{number}__{degrees}.png")
    (tmp_path / "readme.txt").write_text("no photograph")
    coil3, coil14 = coil_sets(tmp_path, [], tmp_path / "work_dir")
    assert [coil3.name, coil14.name] == ["coil3", "coil14"]
    for name, degrees in coil14.truth.items():
        assert brightness(coil14, name) == 34 + degrees / 5
        assert "__" not in name
    with pytest.raises(ValueError, match="obj15__"):
        coil_sets(tmp_path, [15], tmp_path / "work_dir")


def test_zoo_set_has_noise_one_elevation_and_the_true_azimuths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo_sets, "PHOTOGRAPHS", 6)
    monkeypatch.setattr(zoo_sets, "RESOLUTION", 48)
    photos = zoo_sets.zoo_set("corgi", tmp_path)
    images = {
        name: torch.from_numpy(np.array(Image.open(photos.folder / name))).float() / 255
        for name in photos.truth
    }
    azimuths = torch.tensor([math.radians(degrees) for degrees in photos.truth.values()])
    evenly = zoo_sets.draw_shots(zoo_sets.Taken.turntable, torch.Generator())
    clean = zoo_sets.draw("corgi", replace(evenly, azimuth=azimuths))
    for image, expected in zip(images.values(), clean, strict=True):
        assert (image - expected).std() == pytest.approx(zoo_sets.NOISE, rel=0.2)
    gaps = torch.tensor(sorted(photos.truth.values())).diff()
    assert torch.allclose(gaps, torch.tensor(60.0), atol=1e-3)
    assert sorted(photos.truth) != list(photos.truth)


@pytest.mark.parametrize("taken", list(zoo_sets.Taken))
def test_zoo_sets_are_what_they_are_called(taken: zoo_sets.Taken) -> None:
    shots = zoo_sets.draw_shots(taken, torch.Generator().manual_seed(0))
    gaps = (shots.azimuth % (2 * math.pi)).sort().values.diff()
    is_turntable = taken == zoo_sets.Taken.turntable
    assert (gaps.std() < 1e-5) == is_turntable
    assert (len(shots.elevation.unique()) == 1) == is_turntable
    assert (len(shots.elevation.unique()) == 2) == (taken == zoo_sets.Taken.two_elevations)
    assert bool(shots.aim.any()) == (taken == zoo_sets.Taken.by_hand)
    is_biased = shots.azimuth.cos().mean() > 0.3
    assert bool(is_biased) == (taken == zoo_sets.Taken.front_biased)
    assert shots.elevation.rad2deg().min() > -10


def test_aim_moves_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo_sets, "RESOLUTION", 32)
    one, nothing = torch.ones(1), torch.zeros(1)
    shots = zoo_sets.Shots(nothing, nothing, one, torch.zeros(1, 2))
    straight = zoo_sets.draw("pig", shots)
    aside = zoo_sets.draw("pig", replace(shots, aim=torch.tensor([[0.125, 0.25]])))
    assert torch.allclose(aside[:, 8:, 4:], straight[:, :-8, :-4], atol=1e-4)


def test_run_is_the_documented_command_and_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    truth = 2 * math.pi * torch.arange(PHOTOS) / PHOTOS
    made, degrees = make_photo_run(tmp_path, truth)
    photos = LabelledSet("statue", tmp_path / "photos", degrees)
    commands: list[Sequence[str]] = []

    class Done:
        returncode, stderr, stdout = 3, "", "error: doubtful"

    def finish(command: Sequence[str], **_: object) -> Done:
        commands.append(command)
        run_dir = tmp_path / "work_dir" / "statue-lam1-seed0"
        run_dir.parent.mkdir(exist_ok=True)
        made.rename(run_dir)
        metrics = json.loads((run_dir / "metrics.json").read_text())
        metrics["photos"] = {"verdict": "failed", "reasons": ["why"], "chi": 0.2}
        metrics["photos"]["moves"] = [4.0, 0.3]
        (run_dir / "metrics.json").write_text(json.dumps(metrics))
        for name in ("cameras.json", "transforms.json"):
            text = (run_dir / name).read_text()
            (run_dir / name).write_text(text.replace('"../photos', '"../../photos'))
        return Done()

    monkeypatch.setattr(judged_run.subprocess, "run", finish)
    sets = {"statue": photos}
    outcome = judged_run.run(
        "statue", 0, 1.0, sets=sets, work_dir=tmp_path / "work_dir", overrides=["steps=9"]
    )
    (command,) = commands
    assert command[:4] == [sys.executable, "train.py", "prompt=statue", "prior=images"]
    assert f"prior.path='{tmp_path / 'photos'}'" in command
    assert {"seed=0", "lambda_esd=1", "steps=9"} <= set(command)
    assert (outcome.verdict, outcome.reason, outcome.exit_status) == ("failed", "why", 3)
    assert outcome.last_snap_steps == 0.3
    assert (outcome.chi, outcome.held_out_psnr_db) == (0.2, None)
    assert outcome.is_right


def test_run_without_results_keeps_the_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Done:
        returncode, stdout, stderr = 1, "", "one\nerror: no photographs\n"

    monkeypatch.setattr(judged_run.subprocess, "run", lambda *_, **__: Done())
    sets = {"shoe": make_set(tmp_path)}
    outcome = judged_run.run(
        "shoe", 1, 0.0, sets=sets, work_dir=tmp_path / "work_dir", overrides=[]
    )
    assert (outcome.reason, outcome.exit_status) == ("error: no photographs", 1)
    assert not outcome.is_right


def test_options_of_the_program_are_overrides() -> None:
    options = benchmark.parse_options(["x", "--seeds", "0", "prior.order=turntable", "--ordered"])
    assert options.overrides == ["prior.order=turntable"]
    assert options.ordered
    with pytest.raises(SystemExit):
        benchmark.parse_options(["--seeds", "0"])


def test_table_counts_right_flagged_and_unflagged_runs() -> None:
    right = Outcome(
        *("shoe", 0, 1.0, 36, 16, 1.0, 0.2, 1.0, 34.61, 0.0, 0.1, 9.4, 40.0, "good", None, 0, 61.0)
    )
    unflagged = replace(right, set="mug", azimuth_error_deg=16.0, sides_in_place=11)
    flagged = replace(unflagged, set="box", verdict="failed", reason="alike", exit_status=1)
    collapsed = replace(flagged, set="shoe", lambda_esd=0.0, chi=None)
    lines = to_table([right, unflagged, flagged, collapsed]).splitlines()
    assert lines[2].startswith("| box | 36 | 0 | 1 | 11 | 1.000 | 16.00 |")
    assert lines[4].startswith("| shoe | 36 | 0 | 0 | 11 | 1.000 | 16.00 | 1.00 | 34.6 | – |")
    assert "- λ=0: 0 of 1 runs right" in lines[7]
    assert "- λ=1: 1 of 3 runs right" in lines[8]
    assert "1 wrong and not called good; 1 wrong and called good: mug (seed 0)" in lines[8]
    assert "- box, seed 0, λ=1: alike" in lines


def test_documented_command_runs_in_processes_of_its_own(tmp_path: Path) -> None:
    """Grey photographs, which the program refuses at once."""
    make_set(tmp_path / "sets")
    words = ["--seeds", "0", "--lambdas", "1", "--work-dir", str(tmp_path / "work_dir")]
    command = [sys.executable, "-m", "benchmarks.photographs", str(tmp_path / "sets")]
    done = subprocess.run(
        [*command, *words, "--name", str(tmp_path / "table")],
        cwd=judged_run.ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (outcome,) = (tmp_path / "table.jsonl").read_text().splitlines()
    assert json.loads(outcome)["exit_status"] == 1
    assert "shoe" in (tmp_path / "table.md").read_text()
