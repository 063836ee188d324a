"""Server-sent events while files change, reconnects, and pages that are gone."""

import json
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.helpers.shown_splats import (
    Running,
    serving,
    small_page,
    wait_until,
    write_ply,
    write_run,
)
from viewer.scene.layout import arrange
from viewer.scene.watch import Watch
from viewer.server.events import History
from viewer.server.server import Limits

QUICK = Limits(heartbeat_s=0.2, refresh_s=0.03, thorough_every=2, stall_s=0.5)


class Listener:
    """A page's connection to the events, read as browsers do."""

    def __init__(self, client: socket.socket) -> None:
        self.lines = client.makefile("r", encoding="ascii", newline="\n")
        for line in self.lines:
            if line == "\r\n":
                return
        raise EOFError("the header has no end")

    def event(self) -> tuple[str, Any]:
        """The next event that has data; comments and ids are passed over."""
        fields: dict[str, str] = {}
        deadline = time.monotonic() + 10  # signs of life alone would keep it waiting
        for line in self.lines:
            assert time.monotonic() < deadline
            name, _, value = line.rstrip("\n").partition(": ")
            if name in ("event", "data"):
                fields[name] = value
            elif line == "\n" and "data" in fields:
                return fields["event"], json.loads(fields["data"])
        raise EOFError

    def until(self, is_wanted: Callable[[str, Any], bool], within_s: float = 20) -> dict[str, Any]:
        """The data of the first event that is wanted."""
        deadline = time.monotonic() + within_s
        while time.monotonic() < deadline:
            name, data = self.event()
            if is_wanted(name, data):
                return dict(data)
        raise AssertionError("it was not sent")


@contextmanager
def listening(server: Running, last_id: str | None = None) -> Iterator[Listener]:
    with server.connect() as client:
        again = f"Last-Event-ID: {last_id}\r\n" if last_id is not None else ""
        client.sendall(f"GET /events HTTP/1.1\r\nHost: localhost\r\n{again}\r\n".encode())
        yield Listener(client)


def scene(server: Running) -> dict[str, Any]:
    return dict(json.loads(server.get("/scene.json")[2]))


def replace(path: Path, n: int, **metadata: Any) -> None:
    """Write another version as the trainer does, at once."""
    os.replace(write_ply(path.with_name(".partial.ply"), n, **metadata), path)


def test_event_of_a_changed_file_has_a_higher_version(tmp_path: Path) -> None:
    path = write_ply(tmp_path / "a.ply", 3)
    with serving([path], small_page(tmp_path / "s"), QUICK) as server, listening(server) as page:
        (before,) = scene(server)["cells"]
        replace(path, 5)
        name, cell = page.event()
        assert name == "cell"
        assert (cell["id"], cell["gaussians"]) == (before["id"], 5)
        assert cell["version"] > before["version"]
        assert scene(server)["cells"] == [cell]
        assert server.get(f"/splats/{cell['id']}")[2] == path.read_bytes()


def test_events_of_a_run_from_first_snapshot_to_end(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", finished=False)
    with serving([run], small_page(tmp_path / "s"), QUICK) as server, listening(server) as page:
        (cell,) = scene(server)["cells"]
        assert (cell["problem"], cell["prompt"]) == ("no image yet", "a corgi")
        for step in (10, 20):
            metadata = {"prompt": "a corgi", "lambda_esd": 1.0, "seed": 0, "step": step}
            replace(run / "live.ply", step, **metadata, steps=700)
            cell = page.until(lambda _, cell, step=step: cell.get("step") == step)
            assert (cell["gaussians"], cell["steps"], cell["problem"]) == (step, 700, None)
        replace(run / "splats.ply", 99, prompt="a corgi", lambda_esd=1.0, seed=0)
        (run / "live.ply").unlink()
        cell = page.until(lambda _, cell: cell.get("gaussians") == 99)
        assert (cell["step"], cell["name"]) == (None, "run/splats.ply")


def test_event_when_the_reason_for_no_image_changes(tmp_path: Path) -> None:
    run = write_run(tmp_path / "run", finished=False)
    with serving([run], small_page(tmp_path / "s"), QUICK) as server, listening(server) as page:
        with (run / "train.log").open("a") as log:
            log.write("2026-11-22 21:28:17,570 INFO step 20/700\n")
        page.until(lambda _, cell: cell.get("problem") == "no image yet, step 20/700")
        with (run / "train.log").open("a") as log:
            log.write("2026-11-22 21:28:17,570 ERROR out of memory\n")
        page.until(lambda _, cell: str(cell.get("problem")).endswith("failed: out of memory"))


def test_scene_event_when_a_sweep_has_a_new_run(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    write_ply(write_run(sweep / "a", seed=0) / "splats.ply")
    with serving([sweep], small_page(tmp_path / "s"), QUICK) as server, listening(server) as page:
        ids = [cell["id"] for cell in scene(server)["cells"]]
        write_ply(write_run(sweep / "b", seed=1) / "splats.ply")
        page.until(lambda name, _: name == "scene" and len(scene(server)["cells"]) == 2)
        first, second = scene(server)["cells"]
        assert [first["id"]] == ids
        assert (first["label"], second["label"]) == ("seed 0", "seed 1")


def test_deleted_run_is_a_problem_until_it_is_restored(tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    for seed in (0, 1):
        write_ply(write_run(sweep / str(seed), seed=seed) / "splats.ply", draw=seed)
    with serving([sweep], small_page(tmp_path / "s"), QUICK) as server, listening(server) as page:
        shutil.move(sweep / "1", tmp_path / "elsewhere")
        wait_until(lambda: "not there any more" in str(scene(server)["cells"][-1]["problem"]))
        assert server.get("/splats/1")[0] == 404
        assert server.get("/splats/0")[0] == 200
        shutil.move(tmp_path / "elsewhere", sweep / "1")
        wait_until(lambda: not any(cell["problem"] for cell in scene(server)["cells"]))
        assert page.event()[0] == "scene"


def test_half_written_files_are_shown_when_complete(tmp_path: Path) -> None:
    path = write_ply(tmp_path / "a.ply", 3)
    watch = Watch([path])
    whole = write_ply(tmp_path / "b.ply", 9).read_bytes()
    path.write_bytes(whole[:-40])
    watch.refresh(thorough=True)
    assert watch.scene.cells[0].gaussians == 3
    path.write_bytes(whole)
    watch.refresh(thorough=True)
    assert (watch.scene.cells[0].gaussians, watch.scene.cells[0].problem) == (9, None)


def test_files_that_stay_broken_are_a_problem(tmp_path: Path) -> None:
    path = write_ply(tmp_path / "a.ply", 3)
    watch = Watch([path])
    path.write_bytes(path.read_bytes()[:-40])
    for _ in range(3):
        watch.refresh(thorough=False)
    (cell,) = watch.scene.cells
    assert "cut short" in str(cell.problem)
    assert (cell.gaussians, cell.version) == (0, 2)
    path.unlink()
    for _ in range(3):
        watch.refresh(thorough=False)
    assert watch.scene.cells[0].problem == "a.ply is not there any more"


def test_reconnecting_page_gets_missed_events(tmp_path: Path) -> None:
    path = write_ply(tmp_path / "a.ply", 3)
    with serving([path], small_page(tmp_path / "s"), QUICK) as server:
        with listening(server) as page:
            replace(path, 5)
            page.event()
            known = page.lines.readline().removeprefix("id: ").strip()
        with listening(server, known) as page:
            replace(path, 7)
            assert page.event()[1]["gaussians"] == 7  # and not once more the 5
        with listening(server, known) as page:
            assert page.event()[1]["gaussians"] == 7
        with listening(server) as page:  # loaded the scene before all that
            assert page.event()[1]["gaussians"] == 7
        with listening(server, "of-another-server") as page:
            assert page.event() == ("scene", {})


def test_heartbeats_only_while_nothing_changes(tmp_path: Path) -> None:
    path = write_ply(tmp_path / "a.ply", 3)
    with serving([path], small_page(tmp_path / "s"), QUICK) as server, listening(server) as page:
        lines = [page.lines.readline() for _ in range(12)]
    assert lines[0] == "retry: 1000\n"
    assert lines[2].startswith("id: ")
    assert {line for line in lines[3:] if line.strip()} == {": still here\n"}


def test_closed_event_streams_free_their_connections(tmp_path: Path) -> None:
    path = write_ply(tmp_path / "a.ply", 3)
    with serving([path], small_page(tmp_path / "s"), QUICK) as server:
        for _ in range(QUICK.connections + 20):
            with listening(server):
                pass
        with listening(server) as page:
            replace(path, 5)
            assert page.event()[1]["gaussians"] == 5


def test_events_reach_30_pages(tmp_path: Path) -> None:
    path = write_ply(tmp_path / "a.ply", 3)
    received = []

    def listen(server: Running, ready: threading.Barrier) -> None:
        with listening(server) as page:
            ready.wait(10)
            received.append(page.event()[1]["gaussians"])

    with serving([path], small_page(tmp_path / "s"), QUICK) as server:
        ready = threading.Barrier(31)
        threads = [threading.Thread(target=listen, args=(server, ready)) for _ in range(30)]
        for thread in threads:
            thread.start()
        ready.wait(10)
        replace(path, 5)
        for thread in threads:
            thread.join(10)
    assert received == [5] * 30


def test_history_has_each_change_once_and_the_latest_only(tmp_path: Path) -> None:
    a, b = (write_ply(tmp_path / f"{name}.ply", 3) for name in "ab")
    watch = Watch([a, b])
    history = History(watch.scene)
    assert not history.update(watch.scene)
    assert history.since(0) == []
    for n in (4, 5):
        replace(a, n)
        watch.refresh(thorough=False)
        assert history.update(watch.scene)
    ((name, cell),) = history.since(0)
    assert (name, cell["gaussians"], cell["version"]) == ("cell", 5, 3)
    assert history.since(history.count) == []
    history.update(arrange(watch.scene.cells[:1]))
    assert history.since(0) == [("scene", {})]


def test_metadata_that_moves_a_cell_makes_another_scene(tmp_path: Path) -> None:
    paths = [
        write_ply(tmp_path / f"{lam}{seed}.ply", prompt="a", lambda_esd=lam, seed=seed)
        for lam in (0.0, 1.0)
        for seed in (0, 1)
    ]
    watch = Watch(paths)
    history = History(watch.scene)
    replace(paths[0], 4, prompt="a", lambda_esd=0.0, seed=0)
    watch.refresh(thorough=False)
    history.update(watch.scene)
    assert [name for name, _ in history.since(0)] == ["cell"]
    replace(paths[0], 4, prompt="a", lambda_esd=0.5, seed=0)
    watch.refresh(thorough=False)
    history.update(watch.scene)
    assert history.since(0) == [("scene", {})]
