"""Server-sent events: which changes a page has not got yet, and a wake-up for threads that wait.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

import json
import re
import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from viewer.scene.layout import Scene

Event = tuple[str, dict[str, Any]]
"""Its name and its data."""

RETRY = b"retry: 1000\n\n"
"""Milliseconds after which a page connects again when the connection breaks."""
HEARTBEAT = b": still here\n\n"
"""A comment; sending it detects clients that are gone."""


class History:
    """When each cell last changed, counted from the first scene on; safe to use from threads.

    Only the latest state of a cell is kept: a page that reconnects late gets each cell once.
    """

    def __init__(self, scene: Scene) -> None:
        """Begin with a scene, which is count 0."""
        self.count = 0
        self._scene = scene
        self._layout_changed = 0
        self._cell_changed: dict[int, int] = {}
        self._lock = threading.RLock()
        # A page whose connection broke may reconnect to another server at the same address.
        self._id = secrets.token_hex(4)

    def update(self, scene: Scene) -> bool:
        """Record the current scene; whether anything differs from before."""
        with self._lock:
            before, self._scene = self._scene, scene
            if scene == before:
                return False
            self.count += 1
            if _layout(scene) != _layout(before):
                self._layout_changed = self.count
            for cell in set(scene.cells) - set(before.cells):
                self._cell_changed[cell.id] = self.count
            return True

    def since(self, count: int) -> list[Event]:
        """The events for a page that has the state of that count.

        Either that the layout is another one, after which the page fetches the scene, or one event
        for each changed cell.
        """
        with self._lock:
            if self._layout_changed > count:
                return [("scene", {})]
            cells = self._scene.as_json(live=True)["cells"]
            return [
                ("cell", cell) for cell in cells if self._cell_changed.get(cell["id"], 0) > count
            ]

    def count_of(self, last_event_id: str | None) -> int:
        """The count that a page has: 0 at first, later by the last id that it got; else -1."""
        if last_event_id is None:
            return 0
        found = re.fullmatch(f"{self._id}-([0-9]{{1,15}})", last_event_id.strip())
        return int(found[1]) if found else -1

    def stream(self, count: int) -> tuple[int, bytes]:
        """The current count, and the text of the events since another.

        The id comes last, so that a page that got a part of it requests the whole again.
        """
        with self._lock:
            events = [
                f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in self.since(count)
            ]
            text = "".join([*events, f"id: {self._id}-{self.count}\n\n"])
            return self.count, text.encode("ascii")


class Subscribers:
    """Wakes threads that wait for news and for a client at once: each has a socket to select on."""

    def __init__(self) -> None:
        """Begin without any."""
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._sockets)

    @contextmanager
    def subscription(self) -> Iterator[socket.socket]:
        """A socket that can be read from after each `notify` during the block."""
        reading, writing = socket.socketpair()
        writing.setblocking(False)
        with reading, writing:
            with self._lock:
                self._sockets.add(writing)
            try:
                yield reading
            finally:
                with self._lock:
                    self._sockets.remove(writing)

    def notify(self) -> None:
        """Wake all subscribers."""
        with self._lock:
            for each in self._sockets:
                with suppress(BlockingIOError):  # it has not taken earlier news yet
                    each.send(b"\0")


def _layout(scene: Scene) -> tuple[Any, ...]:
    places = [(cell.id, cell.label, cell.row, cell.column) for cell in scene.cells]
    return scene.title, scene.rows, scene.columns, places
