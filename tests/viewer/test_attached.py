"""A viewer that another program started: it waits for what is made, and ends by itself."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.shown_splats import small_page, write_ply, write_run

PROGRAM = """
import pathlib, sys
from viewer import attached, command, page
files = page.page_files(pathlib.Path(sys.argv.pop(1)))
command.page_files = lambda: files
attached.GRACE_S = 0.6
command.main()
"""


WITH_A_DISPLAY = {**os.environ, "DISPLAY": ":0"}
WITH_A_DISPLAY.pop("SSH_CONNECTION", None)
"""So that nothing is printed but the address."""


@contextmanager
def attached(folder: Path, *paths: Path) -> Iterator[subprocess.Popen[str]]:
    """The command with a small page, and with little patience."""
    small_page(folder / "static")
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, folder / "static", "--attached", "--no-open", *paths],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=WITH_A_DISPLAY,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def leave(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.stdin = None


def address(process: subprocess.Popen[str]) -> tuple[str, int]:
    assert process.stdout is not None
    url = process.stdout.readline()
    assert url.startswith("http://127.0.0.1:"), url
    return "127.0.0.1", int(url.rpartition(":")[2].strip("/\n"))


@contextmanager
def open_page(place: tuple[str, int]) -> Iterator[None]:
    with socket.create_connection(place, 5) as page:
        page.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert page.recv(100).startswith(b"HTTP/1.1 200")
        yield


def runs_for(process: subprocess.Popen[str], seconds: float) -> bool:
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(seconds)
    return True


def test_attached_viewer_runs_while_its_program_does(tmp_path: Path) -> None:
    with attached(tmp_path, write_ply(tmp_path / "a.ply")) as process:
        address(process)
        assert runs_for(process, 2)


def test_attached_viewer_ends_without_program_and_page(tmp_path: Path) -> None:
    with attached(tmp_path, write_ply(tmp_path / "a.ply")) as process:
        address(process)
        leave(process)
        out, error = process.communicate(timeout=10)
    assert (process.returncode, out, error) == (0, "", "")


def test_attached_viewer_outlives_its_program_while_a_page_is_open(tmp_path: Path) -> None:
    with attached(tmp_path, write_ply(tmp_path / "a.ply")) as process:
        place = address(process)
        with open_page(place):
            leave(process)
            assert runs_for(process, 2)
        with open_page(place):  # loaded again
            assert runs_for(process, 2)
        assert process.wait(10) == 0


def test_grace_period_before_the_first_page(tmp_path: Path) -> None:
    with attached(tmp_path, write_ply(tmp_path / "a.ply")) as process:
        leave(process)
        with open_page(address(process)):
            assert runs_for(process, 2)


def test_attached_viewer_waits_for_run_directories(tmp_path: Path) -> None:
    runs = [tmp_path / "runs" / f"lam{lam}-seed0" for lam in (0.0, 1.0)]
    with attached(tmp_path, *runs) as process:
        time.sleep(0.5)
        write_ply(write_run(runs[1], finished=False) / "live.ply")
        place = address(process)
        with socket.create_connection(place, 5) as page:
            page.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            write_ply(write_run(runs[0], lam=0.0, finished=False) / "live.ply")
            page.settimeout(10)
            received = b""
            while b"event: scene" not in received:
                received += (piece := page.recv(1 << 16))
                assert piece, "the connection was closed"


def test_attached_viewer_stops_waiting_when_its_program_ends(tmp_path: Path) -> None:
    with attached(tmp_path, tmp_path / "never") as process:
        leave(process)
        out, error = process.communicate(timeout=10)
    assert (process.returncode, out, error) == (0, "", "")
