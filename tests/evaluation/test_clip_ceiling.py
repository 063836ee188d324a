"""CLIP's numbers of a prior's own samples."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gs_esd.evaluation import clip_ceiling
from tests.helpers.tiny_clip import write_clip
from tests.helpers.tiny_models import tiny_pipeline

MEASURES = {
    *("clip_backbone", "clip_revision", "clip_logit_scale"),
    *("clip_score", "clip_score_lowest", "clip_r_precision", "clip_rivals"),
}

Run = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """The command's lines of JSON."""

    def run(*arguments: Any) -> list[dict[str, Any]]:
        clip_ceiling.main([str(argument) for argument in arguments])
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


def test_scores_of_samples(run: Run, tmp_path: Path, clip: Path) -> None:
    prior = tiny_pipeline("latent_epsilon").save(tmp_path / "prior")
    rivals = tmp_path / "rivals.txt"
    rivals.write_text("a house\n", encoding="utf-8")
    made_with = ("--guidance-scale", 2.0, "--steps", 2, "--samples", 5, "--seed", 3)
    both = ("a corgi", "a panda", "--prior", prior, "--clip", clip, *made_with)
    corgi, panda = run(*both, "--rivals", rivals)
    expected = {
        "prompt": "a corgi",
        "prior": str(prior),
        "guidance_scale": 2.0,
        "steps": 2,
        "seed": 3,
        "samples": 5,
        "clip_backbone": str(clip),
        "clip_rivals": 1,
    }
    assert expected.items() <= corgi.items()
    assert set(corgi) >= MEASURES
    alone = ("a panda", "--prior", prior, "--clip", clip, *made_with)
    (again,) = run(*alone)
    assert again["clip_score"] == panda["clip_score"]
    (other,) = run(*alone, "--seed", 4)
    assert other["clip_score"] != again["clip_score"]


def test_missing_prior(run: Run, clip: Path) -> None:
    with pytest.raises(SystemExit, match="missing"):
        run("a corgi", "--prior", "missing", "--clip", clip)


def test_no_samples(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run("a corgi", "--prior", "missing", "--samples", 0)
    assert "at least 1" in capsys.readouterr().err
