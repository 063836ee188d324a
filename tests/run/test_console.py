"""Progress, log messages and the list of results, on a terminal and without one."""

import io
import logging
from pathlib import Path

import pytest
import rich
from rich.console import Console

from gs_esd.run.console import ProgressBar, logging_to, print_results

log = logging.getLogger("gs_esd.test")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """The output of a terminal 200 columns wide."""
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=200)
    monkeypatch.setattr(rich, "get_console", lambda: console)
    return screen


def train(steps: int, done: int = 0, line_every_s: float = 0.0) -> None:
    with ProgressBar(steps, done, line_every_s=line_every_s) as bar:
        for step in range(done, steps):
            bar.update(step + 1, {"grad_norm": 0.5, "lambda_esd": 0.25}, 2_000 + step)


def test_lines_without_a_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to(tmp_path / "train.log"):
        train(3)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["step 1/3", "step 2/3", "step 3/3"]
    for shown in ("grad_norm 0.5", "λ 0.25", "2001 Gaussians", "s/step", "s left"):
        assert shown in lines[1]


def test_lines_are_rate_limited_and_the_last_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with logging_to(tmp_path / "train.log"):
        train(100, line_every_s=3600.0)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["step 1/100", "step 100/100"]


def test_resumed_run_continues_to_count(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with logging_to(tmp_path / "train.log"):
        train(10, done=8)
    assert capsys.readouterr().out.startswith("step 9/10")


def test_bar_on_a_terminal_and_lines_in_the_log(tmp_path: Path, terminal: io.StringIO) -> None:
    with logging_to(tmp_path / "train.log"):
        train(3)
    shown = terminal.getvalue()
    for part in ("3/3", "grad_norm 0.5", "λ 0.25", "2002 Gaussians"):
        assert part in shown
    assert "step 3/3" not in shown
    assert "step 3/3" in (tmp_path / "train.log").read_text(encoding="utf-8")


def test_messages_are_not_wrapped_and_errors_go_to_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = "[bold]x[/bold] " + "a/long/path" * 40
    with logging_to(tmp_path / "train.log"):
        log.info(message)
        log.warning("odd")
        log.error("wrong")
    out, err = capsys.readouterr()
    assert out.splitlines() == [message, "warning: odd"]
    assert err == "error: wrong\n"
    kept = (tmp_path / "train.log").read_text(encoding="utf-8")
    assert all(text in kept for text in (message, "WARNING odd", "ERROR wrong"))


def test_each_run_of_a_sweep_has_its_own_log(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with logging_to(tmp_path / name):
            log.info(f"this is {name}")
    assert "this is one" in (tmp_path / "one").read_text()
    assert "one" not in (tmp_path / "two").read_text()
    assert logging.getLogger("gs_esd").handlers == []


def test_unwritable_log_does_not_stop_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with logging_to(tmp_path / "missing" / "train.log"):
        log.info("still shown")
    assert capsys.readouterr().out == "still shown\n"


def test_list_of_results_has_existing_files_and_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "ein Hündchen"
    folder.mkdir()
    for name in ("splats.ply", "preview.png"):
        (folder / name).touch()
    with logging_to(tmp_path / "train.log"):
        print_results(folder)
    out = capsys.readouterr().out
    assert str(folder) in out
    assert "python -m viewer 'ein Hündchen/splats.ply'\n" in out
    assert f"python3 -m webbrowser {(folder / 'preview.png').as_uri()}\n" in out
    assert "turntable.mp4" not in out
