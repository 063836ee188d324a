"""Splats, runs and a server with a small page, for the tests of the viewer. Needs no torch."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from gs_esd.export.metadata import to_comments
from gs_esd.export.ply_file import write_table
from gs_esd.export.ply_properties import property_names
from gs_esd.export.splat_file import ROW
from viewer.page import PageFile, page_files
from viewer.scene.watch import Watch
from viewer.server.hosts import resolve
from viewer.server.server import Limits, Server

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>splats</title>
<link rel="stylesheet" href="/app.css">
<script type="module" src="/viewer.js"></script>
</head>
<body><main>…</main></body>
</html>
"""
SCRIPT = """const embedded = document.getElementById("scene");
const show = (scene) => { document.querySelector("main").textContent = scene.cells[0].name; };
if (embedded) show(JSON.parse(embedded.textContent));
else show(await (await fetch("/scene.json")).json());
try { Function("1"); } catch (error) { document.body.dataset.refused = error.name; }
"""
"""A page that shows a name and tries to make a program of a text."""


def splat_table(n: int, sh_degree: int = 0, draw: int = 0) -> tuple[list[str], np.ndarray]:
    """Names and raw values of small Gaussians, half of them rather opaque."""
    names = property_names(3 * ((sh_degree + 1) ** 2 - 1))
    table = np.random.default_rng(draw).normal(size=(n, len(names))).astype(np.float32)
    for i, name in enumerate(names):
        if name.startswith("scale"):
            table[:, i] -= 5
    return names, table


def write_ply(path: Path, n: int = 3, sh_degree: int = 0, draw: int = 0, **metadata: Any) -> Path:
    """A standard file; with metadata it is one of ours."""
    path.parent.mkdir(parents=True, exist_ok=True)
    ours = {"up": "y-down", "gs-esd": "0", **metadata} if metadata else {}
    names, table = splat_table(n, sh_degree, draw)
    write_table(path, names, table, to_comments(ours) if ours else ())
    return path


def write_splat(path: Path, n: int = 3) -> Path:
    """antimatter15's .splat."""
    rows = np.zeros(n, ROW)
    rows["mean"], rows["size"], rows["rgba"] = 0.5, 0.01, 200
    rows["quat"] = (255, 128, 128, 128)
    path.write_bytes(rows.tobytes())
    return path


def write_run(
    folder: Path,
    prompt: str = "a corgi",
    lam: float = 1.0,
    seed: int = 0,
    guidance: str = "EsdConfig",
    finished: bool = True,
) -> Path:
    """A run directory, without its splats."""
    settings = {"prompt": prompt, "lambda_esd": lam, "seed": seed}
    (folder / ".hydra").mkdir(parents=True)
    (folder / ".hydra" / "config.yaml").write_text(json.dumps(settings))
    (folder / "train.log").write_text("2026-11-22 21:28:16,570 INFO run folder: x\n")
    if finished:
        config = {"guidance": {"kind": guidance}}
        (folder / "metrics.json").write_text(json.dumps({**settings, "config": config}))
    return folder


def small_page(folder: Path) -> dict[str, PageFile]:
    folder.mkdir(exist_ok=True)
    for name, text in (
        ("index.html", PAGE),
        ("app.css", "main { color: rgb(1, 2, 3) }"),
        ("viewer.js", SCRIPT),
        ("THIRD_PARTY.txt", "nobody"),
    ):
        (folder / name).write_text(text, encoding="utf-8")
    return page_files(folder)


class Running:
    """A server that runs in a thread of its own."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.port: int = server.server_address[1]
        self.watch = server.watch

    def connect(self, timeout: float = 5.0) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def raw(self, content: bytes) -> bytes:
        """The whole response to some bytes."""
        with self.connect() as client:
            with suppress(OSError):  # the server need not read to the end
                client.sendall(content)
            return read_all(client)

    def get(
        self, path: str, method: str = "GET", **fields: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, header and body."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
        return parsed(self.raw("\r\n".join([*lines, "", ""]).encode()))


def read_all(client: socket.socket) -> bytes:
    content = b""
    try:
        while piece := client.recv(1 << 16):
            content += piece
    except ConnectionResetError:
        pass
    return content


def parsed(answer: bytes) -> tuple[int, dict[str, str], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").split("\r\n")
    fields = dict(each.lower().split(": ", 1) for each in lines)
    return int(line.split()[1]), fields, body


@contextmanager
def serving(
    paths: Sequence[Path],
    files: Mapping[str, PageFile],
    limits: Limits | None = None,
    port: int = 0,
) -> Iterator[Running]:
    """A running server of these splats, which is gone afterwards."""
    host = resolve("127.0.0.1")
    server = Server(Watch(paths), files, host, host.listen(port), limits)
    ready = threading.Event()
    thread = threading.Thread(target=server.serve, args=(ready.set,))
    thread.start()
    try:
        assert ready.wait(10)
        yield Running(server)
    finally:
        server.stop()
        thread.join(10)
        assert not thread.is_alive()


def wait_until(condition: Callable[[], bool], within_s: float = 10.0) -> None:
    """Fail unless a condition comes true in time."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)
