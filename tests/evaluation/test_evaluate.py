"""`evaluate` and what it finds to evaluate: runs, files, splats in memory."""

import doctest
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from gs_esd.cameras.orbit import Orbit, make_orbit
from gs_esd.config.options import CamerasConfig
from gs_esd.errors import UserError
from gs_esd.evaluation import evaluate as module
from gs_esd.evaluation.clip import Clip, clip_score
from gs_esd.evaluation.evaluate import (
    ELEVATION_DEG,
    evaluate,
    find_targets,
    measure_with_clip,
    render_around,
)
from gs_esd.export.ply import load_splats
from tests.helpers.run_dirs import make_old_run, make_run_with_splats, save_ball
from tests.helpers.tiny_clip import write_clip
from tests.helpers.zoo_renderings import rendered_from

ORBIT = make_orbit(CamerasConfig())


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    return Clip.load(str(write_clip(tmp_path_factory.mktemp("clip"))))


def test_targets_of_runs(tmp_path: Path) -> None:
    make_run_with_splats(tmp_path / "b" / "one", "a pig", distance=4.0)
    make_run_with_splats(tmp_path / "a", "ein Schwein", fov_deg=60.0)
    (tmp_path / "unfinished").mkdir()
    first, second = find_targets(tmp_path)
    assert (first.prompt, second.prompt) == ("ein Schwein", "a pig")
    assert first.path == tmp_path / "a" / "splats.ply"
    assert (first.orbit.fov, second.orbit.distance) == (pytest.approx(math.radians(60)), 4.0)


def test_target_of_old_run(tmp_path: Path) -> None:
    folder = make_old_run(tmp_path / "lam1.0-seed0")
    (target,) = find_targets(folder)
    assert (target.path, target.prompt) == (folder / "splats.ply", "a corgi")
    assert target.orbit == ORBIT


def test_target_with_unknown_camera_option(tmp_path: Path) -> None:
    make_run_with_splats(tmp_path / "a", "a pig", distance=4.0, of_another_version=1.0)
    assert find_targets(tmp_path)[0].orbit.distance == 4.0


def test_prompt_of_file(tmp_path: Path) -> None:
    file = tmp_path / "splats.ply"
    save_ball(file)
    assert find_targets(file, "a pig")[0].prompt == "a pig"
    with pytest.raises(UserError, match="give --prompt"):
        find_targets(file)
    save_ball(file, metadata={"prompt": "a cow"})
    assert find_targets(file)[0].prompt == "a cow"
    assert find_targets(file, "a pig")[0].prompt == "a pig"
    with pytest.raises(UserError, match="no finished run"):
        find_targets(tmp_path / "nowhere")


def test_run_file_target_and_splats_give_the_same_numbers(tmp_path: Path, clip: Clip) -> None:
    folder = make_run_with_splats(tmp_path / "a", "a castle")
    numbers = evaluate(folder, views=3, clip=clip)
    file = folder / "splats.ply"
    assert evaluate(str(file), "a castle", views=3, clip=clip) == numbers
    assert evaluate(find_targets(folder)[0], views=3, clip=clip) == numbers
    assert evaluate(load_splats(file), "a castle", views=3, clip=clip) == numbers
    assert numbers["clip_views"] == 3


def test_clip_numbers_are_those_of_the_renderings(tmp_path: Path, clip: Clip) -> None:
    make_run_with_splats(tmp_path / "a", "a castle", distance=4.0)
    numbers = evaluate(tmp_path, views=5, clip=clip)
    orbit = make_orbit(CamerasConfig(distance=4.0))
    renderings = render_around(load_splats(tmp_path / "a" / "splats.ply"), orbit, 5, 224)
    assert renderings.shape == (5, 224, 224, 3)
    assert renderings[:, 0, 0].min() == 1  # white
    scores = clip_score(clip.encode_images(renderings), clip.encode_prompts(["a castle"])[0])
    assert numbers["clip_score"] == pytest.approx(float(scores.mean()), abs=1e-3)
    assert numbers["clip_score_lowest"] == pytest.approx(float(scores.min()), abs=1e-3)


def test_several_runs_are_refused(tmp_path: Path) -> None:
    for name in "ab":
        make_run_with_splats(tmp_path / name, "a pig")
    with pytest.raises(UserError, match="holds 2 runs"):
        evaluate(tmp_path)


def test_splats_without_prompt_are_refused(tmp_path: Path) -> None:
    save_ball(tmp_path / "splats.ply")
    with pytest.raises(UserError, match="prompt"):
        evaluate(load_splats(tmp_path / "splats.ply"))


def test_prompt_outside_the_zoo_needs_a_network(tmp_path: Path) -> None:
    make_run_with_splats(tmp_path / "a", "a castle")
    with pytest.raises(UserError, match=r"a castle.*--clip"):
        evaluate(tmp_path)


class OnePixelClip(Clip):
    """Stands for CLIP: an image shows the front where its first pixel is bright."""

    logit_scale = 100.0

    def __init__(self, clip: Clip) -> None:
        """With the files of another."""
        self.files = clip.files

    def encode_images(self, images: torch.Tensor) -> torch.Tensor:
        bright = images[:, 0, 0, 0]
        return torch.stack([bright, 1 - bright], dim=1)

    def encode_prompts(self, prompts: list[str]) -> torch.Tensor:
        return torch.tensor([[1.0, 0.0] if "front" in p else [0.0, 1.0] for p in prompts])


def test_faces_by_clip(clip: Clip) -> None:
    bright = torch.tensor([1.0, 1, 0, 0, 1, 0, 0, 0])
    renderings = bright[:, None, None, None].expand(8, 4, 4, 3)
    numbers = measure_with_clip(OnePixelClip(clip), renderings, "a castle", None)
    assert (numbers["faces_proxy"], numbers["janus_free_proxy"]) == (2, False)
    assert numbers["front_share_proxy"] == pytest.approx(3 / 8)
    assert numbers["clip_resolution"] == 4


def test_docstring_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With true views in place of renderings, as the run's splats are a random ball."""

    def true_views(splats: Any, orbit: Orbit, views: int, resolution: int) -> torch.Tensor:
        azimuth = 2 * math.pi * torch.arange(views) / views
        return rendered_from(azimuth, math.radians(ELEVATION_DEG), "pig")

    make_run_with_splats(tmp_path / "outputs" / "a-pig" / "lam1.0-seed0", "a pig")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "render_around", true_views)
    (example,) = doctest.DocTestFinder(recurse=False).find(evaluate, globs={"evaluate": evaluate})
    assert len(example.examples) == 2
    assert doctest.DocTestRunner().run(example).failed == 0
