"""What paths mean, what is known of each splat, and where it stands on the page."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gs_esd.errors import UserError
from tests.helpers.shown_splats import write_ply, write_run, write_splat
from viewer.scene import watch as watching
from viewer.scene.cells import Cell
from viewer.scene.layout import Scene, arrange
from viewer.scene.watch import Watch


def shown(*paths: Path) -> Scene:
    return Watch(paths).scene


def finished_run(folder: Path, **settings: Any) -> Path:
    write_ply(write_run(folder, **settings) / "splats.ply")
    return folder


def names(scene: Scene) -> list[str]:
    return [cell.name for cell in scene.cells]


def cell(id: int, **known: Any) -> Cell:
    return Cell(id, f"{id}.ply", 1, **known)


def grid(scene: Scene) -> dict[tuple[str, str], str]:
    """Labels of cells by those of their row and column."""
    places = {
        (scene.rows[each.row], scene.columns[each.column]): each.label for each in scene.cells
    }
    assert len(places) == len(scene.cells)
    return places


def test_one_file_is_one_cell_that_tells_all_about_it(tmp_path: Path) -> None:
    path = write_ply(
        *(tmp_path / "a.ply", 5, 2),
        **{"prompt": "a corgi", "lambda_esd": 0.5, "seed": 3, "guidance": "esd", "up": "z-up"},
    )
    scene = shown(path).as_json(live=True)
    assert json.loads(json.dumps(scene)) == {
        "title": "a corgi",
        "live": True,
        "rows": [""],
        "columns": [""],
        "cells": [
            {
                "id": 0,
                "label": "a corgi",
                "name": "a.ply",
                "format": "ply",
                "version": 1,
                "bytes": path.stat().st_size,
                "gaussians": 5,
                "sh_degree": 2,
                "up": "z-up",
                "prompt": "a corgi",
                "lambda_esd": 0.5,
                "seed": 3,
                "particle": None,
                "guidance": "esd",
                "step": None,
                "steps": None,
                "row": 0,
                "column": 0,
                "problem": None,
            }
        ],
    }


def test_files_of_others_are_named_by_their_files(tmp_path: Path) -> None:
    scene = shown(write_ply(tmp_path / "b.ply"), write_splat(tmp_path / "a.splat"))
    assert [each.label for each in scene.cells] == ["b.ply", "a.splat"]
    assert {each.up for each in scene.cells} == {"y-down"}
    assert scene.title == "2 splats"


@pytest.mark.parametrize(
    "nonsense",
    [
        {"up": "left", "prompt": 7, "lambda_esd": "0.5", "seed": 1.5, "guidance": ["esd"]},
        {"up": None, "prompt": None, "lambda_esd": float("nan"), "seed": True, "step": "1"},
        {"prompt": {}, "lambda_esd": float("inf"), "seed": 10**400, "steps": -(10**30)},
        {"lambda_esd": True, "step": 2**53 + 1},
    ],
)
def test_nonsense_that_files_tell_is_not_believed(tmp_path: Path, nonsense: Any) -> None:
    (found,) = shown(write_ply(tmp_path / "a.ply", **nonsense)).cells
    assert found.problem is None
    assert found.up == "y-down"
    unknown = (found.prompt, found.lambda_esd, found.seed, found.guidance, found.step, found.steps)
    assert unknown == (None,) * 6
    json.dumps(shown(tmp_path / "a.ply").as_json(live=True), allow_nan=False)


def test_a_run_is_shown_by_its_splat_and_known_by_its_metrics(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "run", lam=0.25, seed=4)
    write_ply(run / "live.ply", 9)
    (found,) = shown(run).cells
    assert (found.name, found.gaussians) == ("run/splats.ply", 3)
    known = (found.prompt, found.lambda_esd, found.seed, found.guidance)
    assert known == ("a corgi", 0.25, 4, "esd")


def test_what_the_file_says_goes_before_what_its_folder_says(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", prompt="a pig", seed=1)
    write_ply(run / "splats.ply", prompt="a corgi", seed=2)
    (found,) = shown(run).cells
    assert (found.prompt, found.seed) == ("a corgi", 2)


def test_unfinished_runs_show_their_snapshot_or_say_that_there_is_none(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", lam=0.5, finished=False)
    (found,) = shown(run).cells
    assert (found.problem, found.lambda_esd, found.gaussians) == ("no image yet", 0.5, 0)
    write_ply(run / "live.ply", prompt="a corgi", step=20, steps=700)
    (found,) = shown(run).cells
    assert (found.problem, found.step, found.steps) == (None, 20, 700)
    assert found.name == "run/live.ply"


def test_failed_runs_say_why(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", finished=False)
    with (run / "train.log").open("a") as log:
        log.write("2026-11-22 21:28:17,570 ERROR no <GPU>\n")
    assert shown(run).cells[0].problem == "no image: the run failed: no <GPU>"
    (finished_run(tmp_path / "other") / "splats.ply").unlink()
    assert "splats.ply is gone" in str(shown(tmp_path / "other").cells[0].problem)


def test_lambda_is_not_told_of_objectives_without_one(tmp_path: Path) -> None:
    (found,) = shown(finished_run(tmp_path / "run", guidance="VsdConfig")).cells
    assert (found.guidance, found.lambda_esd) == ("vsd", None)


def test_a_sweep_is_a_grid_of_lambda_by_seed(tmp_path: Path) -> None:
    for lam in (1.0, 0.0, 0.5):
        for seed in (10, 9):
            finished_run(tmp_path / f"lam{lam}-seed{seed}", lam=lam, seed=seed)
    scene = shown(tmp_path)
    assert scene.rows == ("λ 0", "λ 0.5", "λ 1")
    assert scene.columns == ("seed 9", "seed 10")
    assert scene.title == "a corgi"
    assert grid(scene)["λ 0.5", "seed 9"] == "λ 0.5, seed 9"
    order = [(each.lambda_esd, each.seed) for each in scene.cells]
    assert order == sorted((lam, seed) for lam in (0.0, 0.5, 1.0) for seed in (9, 10))


def test_rows_of_several_prompts_name_them_and_other_objectives_follow(tmp_path: Path) -> None:
    for prompt in ("an owl", "a corgi"):
        for seed in (0, 1):
            finished_run(tmp_path / f"{prompt}-{seed}", prompt=prompt, seed=seed)
    finished_run(tmp_path / "sds", guidance="SdsConfig", seed=1)
    scene = shown(tmp_path)
    assert scene.rows == ("a corgi, λ 1", "a corgi, SDS", "an owl, λ 1")
    assert scene.title == "5 splats"
    assert grid(scene)["a corgi, SDS", "seed 1"] == "a corgi, SDS, seed 1"
    assert ("a corgi, SDS", "seed 0") not in grid(scene)


def test_one_seed_of_many_lambdas_fills_a_square() -> None:
    scene = arrange([cell(i, lambda_esd=i / 4, seed=0) for i in range(5)])
    assert (scene.rows, scene.columns) == (("", ""), ("", "", ""))
    assert [each.label for each in scene.cells] == ["λ 0", "λ 0.25", "λ 0.5", "λ 0.75", "λ 1"]
    assert [(each.row, each.column) for each in scene.cells] == [divmod(i, 3) for i in range(5)]


def test_runs_that_differ_in_something_else_have_their_names() -> None:
    scene = arrange([cell(i, lambda_esd=i // 2, seed=0) for i in (3, 2, 1, 0)])
    assert [each.label for each in scene.cells] == ["1.ply", "0.ply", "3.ply", "2.ply"]
    assert scene.rows == ("", "")


def test_scattered_runs_do_not_make_a_grid_of_holes() -> None:
    scene = arrange([cell(i, lambda_esd=i, seed=i) for i in range(6)])
    assert len(scene.rows) * len(scene.columns) == 6
    assert scene.cells[3].label == "λ 3, seed 3"


known_things = st.fixed_dictionaries(
    {
        "prompt": st.sampled_from([None, "", "a", "b"]),
        "lambda_esd": st.sampled_from([None, 0.0, 0.5]),
        "seed": st.sampled_from([None, 0, 1, 2]),
        "guidance": st.sampled_from([None, "esd", "vsd"]),
    }
)


@given(known=st.lists(known_things, min_size=1, max_size=64))
def test_every_cell_has_a_place_of_its_own_and_a_label(known: list[dict[str, Any]]) -> None:
    scene = arrange([cell(i, **each) for i, each in enumerate(known)])
    assert sorted(each.id for each in scene.cells) == list(range(len(known)))
    places = [(each.row, each.column) for each in scene.cells]
    assert len(set(places)) == len(places)
    assert places == sorted(places)
    assert max(row for row, _ in places) + 1 <= len(scene.rows)
    assert max(column for _, column in places) + 1 <= len(scene.columns)
    assert len(scene.rows) * len(scene.columns) <= 2 * len(known) + 1
    assert all(each.label for each in scene.cells)
    if len(known) > 1:
        assert len({each.label for each in scene.cells}) == len(known)


def test_folders_are_looked_through_for_runs_then_for_files(tmp_path: Path) -> None:
    write_ply(tmp_path / "sweep" / "a.ply")
    write_splat(tmp_path / "sweep" / "b.splat")
    write_ply(tmp_path / "sweep" / ".partial.ply")
    (tmp_path / "sweep" / "notes.txt").touch()
    assert names(shown(tmp_path / "sweep")) == ["a.ply", "b.splat"]
    run = finished_run(tmp_path / "sweep" / "corgi" / "lam1")
    finished_run(run / "checkpoints" / "not-another-run")
    assert names(shown(tmp_path / "sweep")) == ["corgi/lam1/splats.ply"]
    assert names(shown(run)) == ["lam1/splats.ply"]


def test_paths_that_mean_the_same_are_shown_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished_run(tmp_path / "sweep" / "run")
    other = write_ply(tmp_path / "other.ply")
    (tmp_path / "link.ply").symlink_to(other)
    monkeypatch.chdir(tmp_path)
    paths = [Path("sweep"), tmp_path / "sweep" / "run", other, Path("link.ply"), Path("other.ply")]
    assert names(shown(*paths)) == ["sweep/run/splats.ply", "other.ply"]
    assert names(shown(Path())) == ["sweep/run/splats.ply"]


def test_a_splat_alone_in_a_folder_makes_it_a_run(tmp_path: Path) -> None:
    write_ply(tmp_path / "copied" / "splats.ply")
    assert names(shown(tmp_path / "copied")) == ["copied/splats.ply"]


@pytest.mark.parametrize("name", ["none.ply", "empty", "bad.ply", "good.ply/x"])
def test_paths_with_nothing_to_show_are_said_at_once(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.ply").write_text("no splat")
    write_ply(tmp_path / "good.ply")
    with pytest.raises(UserError, match=name):
        shown(tmp_path / name)


def test_one_bad_file_among_good_ones_is_shown_with_its_problem(tmp_path: Path) -> None:
    (tmp_path / "bad.ply").write_bytes(b"")
    scene = shown(tmp_path / "bad.ply", write_ply(tmp_path / "good.ply"))
    assert [each.problem for each in scene.cells] == [
        "bad.ply is empty. Copy or export it again.",
        None,
    ]


def test_too_many_splats_are_refused_and_those_that_come_later_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "MAX_CELLS", 2)
    for seed in (0, 1):
        finished_run(tmp_path / str(seed), seed=seed)
    watch = Watch([tmp_path])
    finished_run(tmp_path / "2", seed=2)
    watch.refresh(thorough=True)
    assert (len(watch.scene.cells), watch.left_out) == (2, 1)
    with pytest.raises(UserError, match=r"these are 3 splats, and a page shows 2.*/2$"):
        Watch([tmp_path])


def test_a_vanished_sweep_leaves_its_cells(tmp_path: Path) -> None:
    finished_run(tmp_path / "sweep" / "run")
    watch = Watch([tmp_path / "sweep"])
    shutil.rmtree(tmp_path / "sweep")
    for _ in range(2):
        watch.refresh(thorough=True)
    assert [each.problem for each in watch.scene.cells] == [
        "the run directory is not there any more"
    ]
