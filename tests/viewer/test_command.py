"""python -m viewer: what it prints, refuses, and leaves behind."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from gs_esd.errors import UserError
from tests.helpers.shown_splats import small_page, write_ply, write_run
from viewer import browser, command
from viewer.page import page_files

HEADLESS = {"DISPLAY": "", "WAYLAND_DISPLAY": "", "PATH": os.defpath}


@pytest.fixture
def splat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    files = small_page(tmp_path / "static")
    monkeypatch.setattr(command, "page_files", lambda: files)
    return write_ply(tmp_path / "a.ply", prompt="a corgi")


def run(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> None:
    monkeypatch.setattr(sys, "argv", ["viewer", *map(str, words)])
    command.main()


@contextmanager
def started(
    folder: Path, words: Sequence[str | Path], **environment: str
) -> Iterator[subprocess.Popen[str]]:
    """The command in a process of its own, with a small page."""
    program = (
        "import sys, pathlib, viewer.page as page; "
        "page.page_files.__defaults__ = (pathlib.Path(sys.argv.pop(1)),); "
        "import viewer.command as command; command.main()"
    )
    small_page(folder / "static")
    process = subprocess.Popen(
        [sys.executable, "-c", program, folder / "static", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **HEADLESS},
        # In the background of a script Ctrl-C is ignored, and whoever is started there inherits it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def port_of(line: str) -> int:
    found = re.match(r"http://127\.0\.0\.1:([0-9]+)/ ", line)
    assert found, line
    return int(found[1])


def get(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", path)
    return connection.getresponse().read()


def test_ctrl_c_exits_with_status_0(tmp_path: Path) -> None:
    path = write_ply(tmp_path / "a.ply")
    with started(tmp_path, [path]) as process:
        assert process.stdout is not None
        port = port_of(process.stdout.readline())
        tunnel = [process.stdout.readline() for _ in range(3)]
        assert tunnel[1] == f"  ssh -L {port}:127.0.0.1:{port} {socket.gethostname()}\n"
        assert get(port, "/splats/0") == path.read_bytes()
        page = socket.create_connection(("127.0.0.1", port), 5)
        page.sendall(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert page.recv(100).startswith(b"HTTP/1.1 200")
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=10)
        page.close()
    assert (process.returncode, out, error) == (0, "", "")


def test_ssh_tunnel_hint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "10.0.0.9 5000 10.0.0.1 2222")
    monkeypatch.setenv("DISPLAY", ":0")
    assert not browser.has_display()
    line = browser.tunnel_hint("http://127.0.0.1:80/", 80).splitlines()[1]
    assert line == "  ssh -L 80:127.0.0.1:80 -p 2222 10.0.0.1"
    monkeypatch.delenv("SSH_CONNECTION")
    assert browser.has_display()


@pytest.mark.parametrize("no_open", [False, True])
def test_no_open_flag(splat: Path, monkeypatch: pytest.MonkeyPatch, no_open: bool) -> None:
    opened: list[str] = []

    def open_and_interrupt(url: str) -> None:
        opened.append(url)
        raise KeyboardInterrupt

    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    monkeypatch.setattr(command, "open_browser", open_and_interrupt)
    monkeypatch.setattr(command.Server, "watch_files", lambda *_: None)
    run(monkeypatch, splat, *["--no-open"] * no_open)
    assert [url[:17] for url in opened] == ["http://127.0.0.1:"] * (not no_open)


def test_allow_remote_flag_is_needed_and_warns(tmp_path: Path) -> None:
    path = write_ply(tmp_path / "a.ply")
    with started(tmp_path, [path, "--host", "0.0.0.0"]) as process:
        out, error = process.communicate(timeout=10)
        assert (process.returncode, out) == (1, "")
        assert "add --allow-remote if they may" in error
    with started(tmp_path, [path, "--host", "0.0.0.0", "--allow-remote"]) as process:
        assert process.stdout is not None
        assert f"http://{socket.gethostname()}:" in process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=10)
        assert error.startswith("warning: whoever reaches this machine on port ")


def test_warnings_for_invalid_files_among_others(tmp_path: Path) -> None:
    write_ply(tmp_path / "good.ply")
    (tmp_path / "bad.ply").touch()
    with started(tmp_path, [tmp_path / "good.ply", tmp_path / "bad.ply"]) as process:
        assert process.stdout is not None
        scene = json.loads(get(port_of(process.stdout.readline()), "/scene.json"))
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=10)
    assert len(scene["cells"]) == 2
    assert error == "warning: bad.ply: bad.ply is empty. Copy or export it again.\n"


REFUSED = {
    "there is no none.ply": ["none.ply"],
    "is empty": ["empty.ply"],
    "nothing is served with --html or --shot: leave out --port, --no-open": [
        *("a.ply", "--html", "a.html", "--port", "80", "--no-open"),
    ],
    "a.ply should end in .html": ["a.ply", "--html", "a.ply"],
    "a.jpg should end in .png": ["a.ply", "--shot", "a.jpg"],
    "give both or neither": ["a.ply", "--size", "64x48"],
    "there is no host nowhere.invalid": ["a.ply", "--host", "nowhere.invalid"],
    "cannot listen on 203.0.113.1": ["a.ply", "--host", "203.0.113.1", "--allow-remote"],
    "cannot write none/a.html": ["a.ply", "--html", "none/a.html"],
}


@pytest.mark.parametrize("message", REFUSED)
def test_user_errors_are_one_line_before_anything_starts(
    splat: Path, monkeypatch: pytest.MonkeyPatch, message: str
) -> None:
    monkeypatch.chdir(splat.parent)
    Path("empty.ply").touch()
    before = splat.read_bytes()
    with pytest.raises(SystemExit, match=f"^error: .*{re.escape(message)}"):
        run(monkeypatch, *REFUSED[message])
    assert splat.read_bytes() == before


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["a.ply", "--port", "65536"],
        ["a.ply", "--port", "-1"],
        ["a.ply", "--port", "٣"],
        ["a.ply", "--shot", "a.png", "--size", "0x48"],
        ["a.ply", "--shot", "a.png", "--size", "large"],
    ],
)
def test_invalid_options_exit_with_status_2(
    monkeypatch: pytest.MonkeyPatch, words: Sequence[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        run(monkeypatch, *words)
    assert stopped.value.code == 2


def test_port_in_use_is_an_error(splat: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SystemExit, match=f"port {port}: .*Leave out --port"):
            run(monkeypatch, splat, "--port", str(port))


def test_missing_page_build_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"index\.html.*npm ci"):
        page_files(tmp_path)


def test_html_option_writes_a_file(
    splat: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = splat.parent / "out.html"
    run(monkeypatch, splat, "--html", out)
    assert capsys.readouterr().out == f"{out}\n"
    assert '"prompt": "a corgi"' in out.read_text()


@pytest.mark.parametrize("what", ["import", "show"])
def test_only_numpy_and_plyfile_are_needed(tmp_path: Path, what: str) -> None:
    """The viewer runs on a laptop, where nothing trains. omegaconf, Hydra's part, counts too."""
    program = """
import sys
for name in ("torch", "gsplat", "numba", "hydra", "omegaconf", "yaml", "PIL"):
    sys.modules[name] = None
import viewer.__main__
from pathlib import Path
from viewer.scene.watch import Watch
if sys.argv[1] == "show":
    scene = Watch([Path(path) for path in sys.argv[2:]]).scene
    print(*sorted(str(cell.problem) for cell in scene.cells), sep=", ")
"""
    paths = [write_ply(tmp_path / "a.ply"), write_run(tmp_path / "run", finished=False)]
    words = [sys.executable, "-c", program, what, *map(str, paths)]
    ran = subprocess.run(words, capture_output=True, text=True, check=True)
    assert ran.stdout == ("" if what == "import" else "None, no image yet\n")
