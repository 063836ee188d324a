"""The evaluation's command: a line of JSON for each run, and what its options need."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gs_esd.evaluation.command import main
from gs_esd.toyzoo.classifier import ZooClassifier
from tests.helpers.run_dirs import make_run_with_splats
from tests.helpers.tiny_clip import LOGIT_SCALE, write_clip

SETTINGS = {"clip_views", "clip_elevation_deg", "clip_resolution", "clip_background"}
CLIP = {"clip_backbone", "clip_revision", "clip_logit_scale", "clip_score", "clip_score_lowest"}
PROXY = {"faces_proxy", "front_share_proxy", "janus_free_proxy"}
AMONG_RIVALS = {"clip_r_precision", "clip_rivals"}
ZOO = {"faces", "front_share", "janus_free", "psnr_db", "inception_gain"}

Run = Callable[..., tuple[list[dict[str, Any]], str]]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """The command's lines of JSON, and what it prints to stderr."""

    def run(*arguments: Any) -> tuple[list[dict[str, Any]], str]:
        main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return [json.loads(line) for line in printed.out.splitlines()], printed.err

    return run


def test_line_for_each_run_and_janus_rate(run: Run, tmp_path: Path) -> None:
    for name in "ab":
        make_run_with_splats(tmp_path / name, "a pig")
    lines, printed = run(tmp_path, "--views", 8)
    assert [line["path"] for line in lines] == [
        str(tmp_path / name / "splats.ply") for name in "ab"
    ]
    assert {line["views"] for line in lines} == {8}
    free = sum(line["janus_free"] for line in lines)
    assert f"free of Janus: {free} of 2" in printed


def test_clip_adds_to_zoo_numbers(
    run: Run, tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ZooClassifier, "load", lambda: ZooClassifier().eval())
    make_run_with_splats(tmp_path / "runs" / "a", "a castle")
    make_run_with_splats(tmp_path / "runs" / "b", "a pig")
    rivals = tmp_path / "rivals.txt"
    rivals.write_text("a castle\n\na house\n  a  Pig \n", encoding="utf-8")
    (castle, pig), printed = run(
        tmp_path / "runs", "--views", 6, "--clip", clip, "--rivals", rivals
    )
    everywhere = {"path", "prompt"} | SETTINGS | CLIP | PROXY | AMONG_RIVALS
    assert set(castle) == everywhere
    assert everywhere | ZOO <= set(pig)
    assert castle["clip_backbone"] == str(clip)
    assert castle["clip_revision"].startswith("sha256:")
    assert castle["clip_logit_scale"] == pytest.approx(LOGIT_SCALE)
    assert [castle[name] for name in sorted(SETTINGS)] == ["white", 15, 224, 6]
    assert castle["clip_rivals"] == pig["clip_rivals"] == 2
    assert "by CLIP's proxy: " in printed
    assert " of 2 (" in printed
    assert f"free of Janus: {int(pig['janus_free'])} of 1" in printed


def test_clip_without_rivals(run: Run, tmp_path: Path, clip: Path) -> None:
    make_run_with_splats(tmp_path / "a", "a castle")
    (line,), printed = run(tmp_path, "--views", 2, "--clip", clip)
    assert CLIP | PROXY <= set(line)
    assert not AMONG_RIVALS & set(line)
    assert "free of Janus: " not in printed


def test_other_prompts_are_refused_before_anything_is_measured(
    run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_run_with_splats(tmp_path / "a", "a pig")
    make_run_with_splats(tmp_path / "b", "a castle")
    with pytest.raises(SystemExit, match=r"a castle.*--clip"):
        run(tmp_path)
    assert not capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--rivals", "x"], "add --clip MODEL"),
        (["--clip-revision", "x"], "add --clip MODEL"),
        (["--classifier-revision", "x"], "goes with --classifier MODEL"),
        (["--views", "0"], "--views must be at least 1"),
    ],
)
def test_options_that_do_not_fit(
    options: list[str], message: str, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run("outputs", *options)
    assert message in capsys.readouterr().err


def test_missing_clip(run: Run, tmp_path: Path) -> None:
    make_run_with_splats(tmp_path / "a", "a castle")
    with pytest.raises(SystemExit, match="--clip missing is not a folder"):
        run(tmp_path, "--clip", "missing")


@pytest.mark.parametrize("prog", ["python -m gs_esd.evaluation", "gs-esd eval"])
def test_help_names_the_typed_command(prog: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"], prog=prog)
    assert capsys.readouterr().out.startswith(f"usage: {prog} ")
