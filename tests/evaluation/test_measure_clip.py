"""The commands that have CLIP look at splats and at a prior's own images."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gs_esd.cameras.orbit import Orbit, make_orbit
from gs_esd.config.options import CamerasConfig
from gs_esd.errors import UserError
from gs_esd.evaluation import clip_ceiling, command
from gs_esd.evaluation.clip import Clip
from gs_esd.evaluation.clip_scores import clip_score
from gs_esd.evaluation.measure_clip import (
    RESOLUTION,
    Rivals,
    measure_around,
    read_rivals,
    render_for_networks,
)
from gs_esd.evaluation.zoo_views import render_around
from gs_esd.export.ply import load_splats
from gs_esd.toyzoo.classifier import ZooClassifier
from tests.evaluation.test_measure import run_in
from tests.helpers.tiny_clip import LOGIT_SCALE, write_clip
from tests.helpers.tiny_models import tiny_pipeline

ORBIT: Orbit = make_orbit(CamerasConfig())
RECORDED = {"clip_backbone", "clip_revision", "clip_logit_scale"}
VARIATIONAL = {"clip_views", "clip_elevation_deg", "clip_resolution", "clip_background"}
SCORES = {"clip_score", "clip_score_lowest"}
PROXY = {"faces_proxy", "front_share_proxy", "janus_free_proxy"}
AMONG = {"clip_r_precision", "clip_rivals"}
EXACT = {"faces", "front_share", "janus_free", "psnr_db", "inception_gain"}

Run = Callable[..., tuple[list[dict[str, Any]], str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def clip(folder: Path) -> Clip:
    return Clip.load(str(folder))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """A command's lines of JSON, and what it says besides."""
    monkeypatch.setattr(ZooClassifier, "load", lambda: ZooClassifier().eval())

    def run(main: Callable[[], None], *arguments: Any) -> tuple[list[dict[str, Any]], str]:
        monkeypatch.setattr(sys, "argv", ["command", *map(str, arguments)])
        main()
        printed = capsys.readouterr()
        return [json.loads(line) for line in printed.out.splitlines()], printed.err

    return run


def test_zoo_animals_get_both_kinds_of_numbers_and_others_clips(
    run: Run, tmp_path: Path, folder: Path
) -> None:
    run_in(tmp_path / "runs" / "a", "a castle")
    run_in(tmp_path / "runs" / "b", "a pig")
    rivals = tmp_path / "rivals.txt"
    rivals.write_text("a castle\n\na house\n  a  Pig \n", encoding="utf-8")
    arguments = (tmp_path / "runs", "--views", 6, "--clip", folder, "--rivals", rivals)
    (castle, pig), said = run(command.main, *arguments)
    everywhere = {"path", "prompt"} | RECORDED | VARIATIONAL | SCORES | PROXY | AMONG
    assert set(castle) == everywhere
    assert everywhere | EXACT <= set(pig)
    assert castle["clip_backbone"] == str(folder)
    assert castle["clip_revision"].startswith("sha256:")
    assert castle["clip_logit_scale"] == pytest.approx(LOGIT_SCALE)
    assert [castle[name] for name in sorted(VARIATIONAL)] == ["white", 15, 224, 6]
    assert castle["clip_rivals"] == pig["clip_rivals"] == 2
    assert "by CLIP's proxy: " in said
    assert " of 2 (" in said
    assert f"free of Janus: {int(pig['janus_free'])} of 1" in said


def test_the_numbers_are_those_of_the_renderings(
    run: Run, tmp_path: Path, folder: Path, clip: Clip
) -> None:
    run_in(tmp_path / "a", "a castle", distance=4.0)
    (line,), said = run(command.main, tmp_path, "--views", 5, "--clip", folder)
    orbit = make_orbit(CamerasConfig(distance=4.0))
    seen = render_around(load_splats(tmp_path / "a" / "splats.ply"), orbit, 5, 224)
    assert seen.shape == (5, 224, 224, 3)
    assert seen[:, 0, 0].min() == 1  # white
    scores = clip_score(clip.of_images(seen), clip.of_prompts(["a castle"])[0])
    assert line["clip_score"] == pytest.approx(float(scores.mean()), abs=1e-3)
    assert line["clip_score_lowest"] == pytest.approx(float(scores.min()), abs=1e-3)
    assert not AMONG & set(line)
    assert "free of Janus: " not in said


def test_without_clip_another_prompt_is_refused_before_anything_is_measured(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_in(tmp_path / "a", "a pig")
    run_in(tmp_path / "b", "a castle")
    with pytest.raises(SystemExit, match=r"a castle.*--clip"):
        run(command.main, tmp_path)
    assert not capsys.readouterr().out


@pytest.mark.parametrize("option", ["--rivals", "--clip-revision"])
def test_options_for_clip_need_clip(
    option: str, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(command.main, "outputs", option, "x")
    assert "add --clip MODEL" in capsys.readouterr().err


def test_a_clip_that_is_not_there_is_told(run: Run, tmp_path: Path) -> None:
    run_in(tmp_path / "a", "a castle")
    with pytest.raises(SystemExit, match="--clip missing is not a folder"):
        run(command.main, tmp_path, "--clip", "missing")


def test_an_objects_own_prompt_is_no_rival(clip: Clip, tmp_path: Path) -> None:
    file = tmp_path / "rivals.txt"
    file.write_text("a castle\na house\nA  Castle\n", encoding="utf-8")
    rivals = read_rivals(file, clip)
    torch.testing.assert_close(rivals.without("a castle"), clip.of_prompts(["a house"]))
    assert len(rivals.without("a pig")) == 3
    only = Rivals(rivals.prompts[:1], rivals.features[:1])
    with pytest.raises(UserError, match='no prompt but "a castle"'):
        only.without("a castle")


def test_rivals_that_cannot_be_read_are_told(clip: Clip, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        read_rivals(tmp_path / "missing", clip)
    (tmp_path / "empty").write_text("\n \n")
    with pytest.raises(UserError, match="is empty"):
        read_rivals(tmp_path / "empty", clip)


class SeesOnePixel(Clip):
    """Stands for CLIP: how bright an image is, says whether it shows the front."""

    logit_scale = 100.0

    def __init__(self, clip: Clip) -> None:
        """With the name of another."""
        self.files = clip.files

    def of_images(self, images: torch.Tensor) -> torch.Tensor:
        bright = images[:, 0, 0, 0]
        return torch.stack([bright, 1 - bright], dim=1)

    def of_prompts(self, prompts: list[str]) -> torch.Tensor:
        return torch.tensor([[1.0, 0.0] if "front" in p else [0.0, 1.0] for p in prompts])


def test_what_clip_takes_for_fronts_becomes_faces(clip: Clip) -> None:
    bright = torch.tensor([1.0, 1, 0, 0, 1, 0, 0, 0])
    renderings = bright[:, None, None, None].expand(8, 4, 4, 3)
    _, proxy = measure_around(SeesOnePixel(clip), renderings, "a castle", None)
    assert (proxy.faces_proxy, proxy.janus_free_proxy) == (2, False)
    assert proxy.front_share_proxy == pytest.approx(3 / 8)


def test_renderings_for_clip_have_its_size(tmp_path: Path) -> None:
    run_in(tmp_path / "a", "a castle")
    splats = load_splats(tmp_path / "a" / "splats.ply")
    assert render_for_networks(splats, ORBIT, 2).shape == (2, RESOLUTION, RESOLUTION, 3)


def test_the_ceiling_is_the_score_of_the_priors_own_samples(
    run: Run, tmp_path: Path, folder: Path
) -> None:
    prior = tiny_pipeline("latent_epsilon").save(tmp_path / "prior")
    rivals = tmp_path / "rivals.txt"
    rivals.write_text("a house\n", encoding="utf-8")
    made_with = ("--guidance-scale", 2.0, "--steps", 2, "--samples", 5, "--seed", 3)
    both = ("a corgi", "a panda", "--prior", prior, "--clip", folder, *made_with)
    (corgi, panda), _ = run(clip_ceiling.main, *both, "--rivals", rivals)
    assert (
        corgi.items()
        >= {
            "prompt": "a corgi",
            "prior": str(prior),
            "guidance_scale": 2.0,
            "steps": 2,
            "seed": 3,
            "samples": 5,
            "clip_backbone": str(folder),
            "clip_rivals": 1,
        }.items()
    )
    assert RECORDED | SCORES | AMONG <= set(corgi)
    alone = ("a panda", "--prior", prior, "--clip", folder, *made_with)
    (again,), _ = run(clip_ceiling.main, *alone)
    assert again["clip_score"] == panda["clip_score"]
    (other,), _ = run(clip_ceiling.main, *alone, "--seed", 4)
    assert other["clip_score"] != again["clip_score"]


def test_a_ceiling_needs_samples_and_a_prior_that_is_there(
    run: Run, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="missing"):
        run(clip_ceiling.main, "a corgi", "--prior", "missing", "--clip", folder)
    with pytest.raises(SystemExit):
        run(clip_ceiling.main, "a corgi", "--prior", "missing", "--samples", 0)
    assert "at least 1" in capsys.readouterr().err
