"""The viewer's process beside a run: it starts and ends with it, and neither hurts the other."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from gs_esd.cli import viewer_process
from gs_esd.cli.viewer_process import Viewer, command, viewer_beside

ROOT = Path(__file__).parents[2]

STAND_IN = """
import os, pathlib, sys
place = pathlib.Path(sys.argv[1])
(place / "pid").write_text(str(os.getpid()))
print("http://127.0.0.1:1/", sys.argv[2], flush=True)
sys.stdin.read()
(place / "left alone").touch()
"""
"""Like the viewer, but that it ends as soon as its standard input does."""

RUN = """
import sys, pathlib
from gs_esd.cli import viewer_process
place = pathlib.Path(sys.argv[1])
viewer_process.command = lambda paths: [sys.executable, place / "stand_in.py", place, *paths]
with viewer_process.viewer_beside(place / "run", True):
    print("under way\\n", end="", flush=True)
    sys.stdin.readline()
    if sys.argv[2] != "end":
        raise {"fail": ValueError, "Ctrl-C": KeyboardInterrupt}[sys.argv[2]]
"""


RUNNING = [
    *("experiment=quick", "prompt=a corgi", "prior.num_images=24", "init.gaussians=60"),
    *("stages.coarse.resolution=8", "stages.fine.resolution=16", "hardware.threads=1"),
    *("view=true", "snapshot_every_s=0.05"),
]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "stand_in.py").write_text(STAND_IN)
    return tmp_path


def run(place: Path, ending: str) -> subprocess.Popen[str]:
    """A process that has started a stand-in, and ends in the given way once it gets a line."""
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, place, ending],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    printed = {process.stdout.readline(), process.stdout.readline()}
    assert printed == {"under way\n", f"http://127.0.0.1:1/ {place / 'run'}\n"}
    return process


def end(process: subprocess.Popen[str]) -> None:
    process.communicate("\n", timeout=60)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(place: Path) -> bool:
    try:
        os.kill(int((place / "pid").read_text()), 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("ending", ["end", "fail"])
def test_viewer_stays_when_the_run_has_ended(place: Path, ending: str) -> None:
    process = run(place, ending)
    assert is_running(place)
    assert not (place / "left alone").exists()
    end(process)
    wait_until((place / "left alone").exists)


def test_viewer_notices_that_the_run_was_killed(place: Path) -> None:
    process = run(place, "end")
    process.kill()
    wait_until((place / "left alone").exists)
    end(process)


def test_ctrl_c_ends_both(place: Path) -> None:
    process = run(place, "Ctrl-C")
    end(process)
    assert not is_running(place)
    assert not (place / "left alone").exists()


def test_viewer_has_a_session_of_its_own(place: Path) -> None:
    process = run(place, "end")
    viewer = int((place / "pid").read_text())
    assert os.getsid(viewer) != os.getsid(process.pid)
    end(process)


def test_run_survives_a_killed_viewer(place: Path) -> None:
    process = run(place, "end")
    os.kill(int((place / "pid").read_text()), signal.SIGKILL)
    end(process)
    assert process.returncode == 0


def stand_in(monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(viewer_process, "command", lambda paths: list(words))


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ([sys.executable, "-c", "raise SystemExit('error: no page here')"], "no page here"),
        ([sys.executable, "-c", "raise ValueError('a bug')"], "ValueError: a bug"),
        ([sys.executable, "-c", "raise SystemExit(3)"], "it ended with exit code 3"),
        (["/no/such/program"], "No such file or directory"),
    ],
)
def test_viewer_that_fails_to_start_is_a_warning(
    words: Sequence[str],
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    stand_in(monkeypatch, *words)
    with viewer_beside(tmp_path, True):
        pass
    assert capfd.readouterr().err == f"warning: there is no viewer: {reason}\n"


def test_missing_viewer_package_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(viewer_process, "find_spec", lambda name: None)
    with viewer_beside(tmp_path, True):
        pass
    assert "pip install -e ." in capfd.readouterr().err


def test_viewer_with_much_output_does_not_hang(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    text = "for i in range(20000): print('line', i)\nprint('error', file=__import__('sys').stderr)"
    stand_in(monkeypatch, sys.executable, "-c", text)
    viewer = Viewer([])
    assert viewer._process is not None
    assert viewer._process.wait(30) == 0
    wait_until(lambda: "line 19999" in capfd.readouterr().out)


def test_no_viewer_without_the_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, sys.executable, "-c", f"open({str(tmp_path / 'here')!r}, 'w')")
    with viewer_beside(tmp_path, False):
        time.sleep(0.3)
    assert not (tmp_path / "here").exists()


def test_paths_are_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert command([Path("a run"), Path("/b")])[-2:] == [str(tmp_path / "a run"), "/b"]


def test_torch_is_not_imported() -> None:
    program = "import sys, gs_esd.cli.viewer_process; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)


@contextmanager
def train(place: Path, *more: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A real run with the real viewer, and the viewer's address; both are gone afterwards."""
    process = subprocess.Popen(
        [sys.executable, ROOT / "train.py", *RUNNING, *more],
        cwd=place,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "DISPLAY": "", "WAYLAND_DISPLAY": ""},  # no browser
    )
    assert process.stdout is not None
    url = next((line.strip() for line in process.stdout if line.startswith("http://")), None)
    assert url, "the run has ended"
    (viewer,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    try:
        yield process, url
    finally:
        process.kill()
        process.communicate()
        with suppress(ProcessLookupError):
            os.kill(int(viewer), signal.SIGKILL)


def cells(url: str) -> list[dict[str, Any]]:
    with urlopen(f"{url}scene.json", timeout=10) as answer:
        found: list[dict[str, Any]] = json.load(answer)["cells"]
    return found


def test_a_run_is_seen_growing_until_ctrl_c_ends_both(tmp_path: Path) -> None:
    with train(tmp_path, "steps=100000") as (process, url):
        seen: set[int] = set()
        deadline = time.monotonic() + 120
        while len(seen) < 5:
            assert process.poll() is None
            assert time.monotonic() < deadline, seen
            time.sleep(0.05)
            (cell,) = cells(url)
            assert (cell["prompt"], cell["seed"], cell["lambda_esd"]) == ("a corgi", 0, 1.0)
            if cell["step"] is not None:
                assert cell["steps"] == 100000
                seen.add(cell["step"])
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
        assert process.returncode == 128 + signal.SIGINT
        assert "the same command goes on" in error
        with pytest.raises(URLError, match="refused"):
            cells(url)


def test_the_page_stays_when_the_run_has_ended(tmp_path: Path) -> None:
    with train(tmp_path, "steps=20") as (process, url), urlopen(f"{url}events", timeout=60):
        assert process.wait(120) == 0
        wait_until(lambda: cells(url)[0]["name"].endswith("/splats.ply"))  # it is a moment late
        (cell,) = cells(url)
        assert urlopen(f"{url}splats/{cell['id']}", timeout=10).read(3) == b"ply"


def test_a_run_goes_on_without_its_viewer(tmp_path: Path) -> None:
    with train(tmp_path, "steps=30") as (process, _):
        (viewer,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(viewer), signal.SIGKILL)
        _, error = process.communicate(timeout=120)
        assert (process.returncode, error) == (0, "")
    assert list(tmp_path.glob("outputs/quick/*/*/metrics.json"))
