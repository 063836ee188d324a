"""What is measured of splats: an animal as it is, one with a face on every side, and files."""

import json
import math
import sys
from pathlib import Path

import pytest
import torch

from gs_esd.errors import UserError
from gs_esd.evaluation import command
from gs_esd.evaluation.finished import find_finished
from gs_esd.evaluation.measure import Measures, measure_zoo
from gs_esd.evaluation.zoo_views import ELEVATION
from gs_esd.export.ply import save_splats
from gs_esd.splats.parameters import init_ball
from gs_esd.toyzoo.classifier import ZooClassifier
from tests.helpers.zoo_renderings import ORBIT, rendered_from

AROUND = 2 * math.pi * torch.arange(24) / 24


@pytest.fixture(scope="module")
def measures() -> dict[str, Measures]:
    """Of a whole pig, and of one that shows its front to everyone."""
    around = {
        name: rendered_from(azimuth, ELEVATION, "pig")
        for name, azimuth in (("whole", AROUND), ("front", 0 * AROUND))
    }
    classifier = ZooClassifier.load()
    return {name: measure_zoo(seen, "a pig", ORBIT, classifier) for name, seen in around.items()}


def test_a_whole_animal_has_one_face(measures: dict[str, Measures]) -> None:
    whole = measures["whole"]
    assert (whole.faces, whole.janus_free, whole.views) == (1, True, 24)
    assert whole.front_share == pytest.approx(0.25, abs=0.1)
    assert whole.psnr_db > 25


def test_a_front_everywhere_is_janus_at_its_worst(measures: dict[str, Measures]) -> None:
    front = measures["front"]
    assert (front.faces, front.front_share, front.janus_free) == (1, 1.0, False)
    assert front.view_information == pytest.approx(0, abs=1e-6)


def test_views_of_a_whole_animal_tell_of_the_camera(measures: dict[str, Measures]) -> None:
    """Front, sides and back are a quarter, a half and a quarter of all: 1.04 nats."""
    assert 0.7 < measures["whole"].view_information < 1.05
    assert measures["whole"].inception_quality < 0.3


def run_in(folder: Path, prompt: str, **cameras: float) -> None:
    folder.mkdir(parents=True)
    config = {"cameras": {"kind": "CamerasConfig", **cameras}}
    metrics = {"prompt": prompt, "config": config}
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    generator = torch.Generator().manual_seed(0)
    splats = init_ball(20, radius=0.5, opacity=0.5, sh_degree=0, generator=generator)
    save_splats(splats, folder / "splats.ply")


def test_runs_tell_what_they_show_and_from_where(tmp_path: Path) -> None:
    run_in(tmp_path / "b" / "one", "a pig", distance=4.0)
    run_in(tmp_path / "a", "ein Schwein", fov_deg=60.0)
    (tmp_path / "unfinished").mkdir()
    first, second = find_finished(tmp_path, None)
    assert (first.prompt, second.prompt) == ("ein Schwein", "a pig")
    assert first.path == tmp_path / "a" / "splats.ply"
    assert (first.orbit.fov, second.orbit.distance) == (pytest.approx(math.radians(60)), 4.0)


def test_a_file_needs_a_prompt_and_a_folder_a_run(tmp_path: Path) -> None:
    file = tmp_path / "splats.ply"
    generator = torch.Generator().manual_seed(0)
    splats = init_ball(20, radius=0.5, opacity=0.5, sh_degree=0, generator=generator)
    save_splats(splats, file)
    assert find_finished(file, "a pig")[0].prompt == "a pig"
    with pytest.raises(UserError, match="give --prompt"):
        find_finished(file, None)
    save_splats(splats, file, metadata={"prompt": "a cow"})
    assert find_finished(file, None)[0].prompt == "a cow"
    assert find_finished(file, "a pig")[0].prompt == "a pig"
    with pytest.raises(UserError, match="no finished run"):
        find_finished(tmp_path / "nowhere", None)


def test_the_command_prints_a_line_a_run_and_how_many_are_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_in(tmp_path / "a", "a pig")
    run_in(tmp_path / "b", "a pig")
    monkeypatch.setattr(sys, "argv", ["metrics", str(tmp_path), "--views", "8"])
    command.main()
    printed = capsys.readouterr()
    lines = [json.loads(line) for line in printed.out.splitlines()]
    assert [line["path"] for line in lines] == [
        str(tmp_path / name / "splats.ply") for name in "ab"
    ]
    assert {line["views"] for line in lines} == {8}
    free = sum(line["janus_free"] for line in lines)
    assert f"free of Janus: {free} of 2" in printed.err


def test_the_command_refuses_what_the_zoo_does_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_in(tmp_path / "a", "a castle")
    monkeypatch.setattr(sys, "argv", ["metrics", str(tmp_path)])
    with pytest.raises(SystemExit, match="castle"):
        command.main()
