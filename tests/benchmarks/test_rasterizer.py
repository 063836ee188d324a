"""The rasterizer benchmark: its opponent draws the same image; its tables say what was found."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.rasterizer import compare, measures, torch_tiles
from benchmarks.rasterizer.measures import loss_gradient, measure_accuracy, run_once
from benchmarks.rasterizer.report import (
    BATCHED,
    Accuracy,
    Machine,
    Point,
    ThreadGain,
    Times,
    compare_with_targets,
    to_report,
)
from benchmarks.rasterizer.scene import BALL_RADIUS, Scene, make_scene
from gs_esd.render.cpu.rasterization import rasterization
from gs_esd.render.cpu.reference import rasterization_reference
from tests.helpers.rasterization_scenes import relative_error

MACHINE = Machine("a processor", 2, {"torch": "2"}, 1e11, None, ThreadGain(1.8, 2.0))
POINT = Point(
    N=50_000,
    resolution=256,
    times={"gs_esd": Times(0.01, 0.02), BATCHED: Times(0.3, 0.7), "C": Times(0.01, 0.018)},
    stages_s={"project_forward": 0.002, "blend_forward": 0.006, "blend_backward": 0.012},
    live_pairs=2_000_000,
    accuracy=Accuracy(True, 1e-6, 1e-5, 3, 1e-3),
)


def small_scene(N: int = 300, width: int = 40, height: int = 30) -> Scene:
    """A scene whose image does not consist of whole tiles."""
    scene = make_scene(N, width, torch.Generator().manual_seed(3))
    return scene._replace(height=height)


def test_scales_are_the_distance_to_the_nearest_neighbour() -> None:
    scene = make_scene(3000, 64, torch.Generator().manual_seed(0))
    assert scene.means.norm(dim=-1).max() <= BALL_RADIUS
    distances = torch.cdist(scene.means, scene.means).fill_diagonal_(torch.inf)
    nearest = distances.min(dim=1).values.mean()
    assert float(scene.scales.median() / nearest) == pytest.approx(1, abs=0.08)


@pytest.mark.parametrize("N", [1, 300])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_torch_tiles_are_the_reference(N: int, dtype: torch.dtype) -> None:
    scene = small_scene(N)
    expected = run_once(rasterization_reference, scene.to(torch.float64), loss_gradient(scene))
    actual = run_once(torch_tiles.rasterization, scene.to(dtype), loss_gradient(scene))
    assert float((actual.rgba - expected.rgba).abs().max()) < 1e-5
    for ours, theirs in zip(actual.gradients, expected.gradients, strict=True):
        assert relative_error(ours, theirs) < 1e-4


def test_torch_tiles_stop_where_the_reference_does() -> None:
    # Many opaque Gaussians: pixels are finished long before the lists of their tiles are.
    scene = small_scene(1000, 20, 20)
    scene = scene._replace(opacities=0.5 + 0.5 * scene.opacities).to(torch.float64)
    expected = run_once(rasterization_reference, scene, loss_gradient(scene))
    actual = run_once(torch_tiles.rasterization, scene, loss_gradient(scene))
    assert float((actual.rgba - expected.rgba).abs().max()) < 1e-12
    for ours, theirs in zip(actual.gradients, expected.gradients, strict=True):
        assert relative_error(ours, theirs) < 1e-10


def test_live_pairs_are_those_that_the_reference_draws() -> None:
    scene = small_scene(96)
    weights = []
    for some in torch.eye(96).split(32, dim=1):  # with a colour of its own, a Gaussian's weight
        image, *_ = rasterization_reference(*scene._replace(colors=some).to(torch.float64))
        weights.append(image)
    expected = int((torch.cat(weights, dim=-1) > 0).sum())
    assert expected > 1000
    assert torch_tiles.count_live_pairs(scene.to(torch.float64)) == expected


def test_accuracy_is_that_of_the_rasterizer_in_question() -> None:
    scene = small_scene(50)
    accuracy = measure_accuracy(rasterization, scene)
    assert accuracy.dense
    assert accuracy.image < 1e-5
    assert accuracy.gradients < 1e-4
    wrong = measure_accuracy(lambda *args: [1.01 * t for t in rasterization(*args)[:2]], scene)
    assert wrong.image > 1e-3
    assert wrong.gradients > 1e-3


@pytest.mark.parametrize(("alpha", "pixels"), [(1.00001, 1), (1.001, 0)])
def test_a_pixel_is_on_an_edge_if_alpha_is_within_rounding_of_its_threshold(
    alpha: float, pixels: int
) -> None:
    # One Gaussian in the very middle of a pixel, which is the only one it reaches.
    scene = small_scene(1, 16, 16)._replace(means=torch.zeros(1, 3))
    scene = scene._replace(opacities=torch.tensor([alpha / 255]))
    scene.Ks[:, :2, 2] = 8.5
    assert measure_accuracy(rasterization, scene).edge_pixels == pixels


def test_verdicts_are_by_the_limits() -> None:
    reached = [v.reached for v in compare_with_targets(MACHINE, [POINT])]
    assert reached == [True, True, True, True, True, True, True]
    slow = replace(POINT, times={**POINT.times, BATCHED: Times(0.1, 0.5), "C": Times(0.01, 0.015)})
    assert [v.reached for v in compare_with_targets(MACHINE, [slow])][2:5] == [True, False, False]
    off = replace(POINT, accuracy=Accuracy(True, 2e-5, 2e-4, 0, 2e-5))
    assert [v.reached for v in compare_with_targets(MACHINE, [off, POINT])][:2] == [False, False]
    busy = replace(POINT, stages_s={"project_forward": 0.01, "blend_forward": 0.02})
    assert [v.reached for v in compare_with_targets(MACHINE, [busy])][5] is False


@pytest.mark.parametrize(("gain", "reached"), [((1.6, 2.0), False), ((1.6, 1.5), None)])
def test_threads_are_not_judged_on_a_busy_machine(
    gain: tuple[float, float], reached: bool | None
) -> None:
    machine = replace(MACHINE, thread_gain=ThreadGain(*gain))
    assert list(compare_with_targets(machine, [POINT]))[-1].reached is reached


def test_what_was_not_measured_is_left_out() -> None:
    point = replace(
        POINT,
        N=1000,
        times={"gs_esd": POINT.times["gs_esd"]},
        accuracy=replace(POINT.accuracy, dense=False),
    )
    assert list(compare_with_targets(replace(MACHINE, thread_gain=None), [point])) == []
    assert BATCHED not in to_report(MACHINE, [point]).split("|", 1)[1]


def test_the_table_has_ratios_and_the_floor() -> None:
    report = to_report(MACHINE, [POINT])
    # 2 million pairs of 104 operations at 100 GFLOP/s are 2.08 ms.
    row = "| 50,000 | 256² | 10 | 20 | 700 (× 35) | 18 (× 0.9) | 2.00 | 2.08 | 9.6 |"
    assert row in report
    assert "| 50,000 | 256² | 2 | 6 | 12 | 10% |" in report


def test_the_benchmark_runs_and_keeps_what_it_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "results"
    monkeypatch.setattr(measures, "ROUNDS", 1)
    monkeypatch.setattr(measures, "ROUND_S", 0.01)
    monkeypatch.setattr(measures, "KERNELS_S", 0.01)
    monkeypatch.setattr(sys, "argv", ["rasterizer", "--quick", "--output", str(folder)])
    compare.main()
    lines = (folder / "rasterizer.jsonl").read_text(encoding="utf-8").splitlines()
    assert json.loads(lines[0])["peak"] > 1e9
    assert json.loads(lines[1])["N"] == 1000
    assert "| 1,000 | 64² |" in (folder / "rasterizer.md").read_text(encoding="utf-8")


def test_a_folder_that_is_a_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(sys, "argv", ["rasterizer", "--output", str(tmp_path / "file")])
    with pytest.raises(SystemExit):
        compare.main()
    assert "name a folder" in capsys.readouterr().err
