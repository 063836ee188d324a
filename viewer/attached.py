"""A viewer that another program started to show its output, such as a run or a sweep.

The program keeps the viewer's standard input open and writes nothing to it. When that input ends,
however the program ended, the viewer is on its own; it then stays for as long as a page is open.
"""

import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from viewer.scene.sources import Sources
from viewer.server.server import Server

GRACE_S = 30.0
"""How long no page need be open: one may be loading, or be loaded again."""
POLL_S = 0.2


def input_ended() -> threading.Event:
    """An event that is set once standard input has ended."""
    ended = threading.Event()
    number = None if sys.stdin is None else sys.stdin.fileno()

    def read() -> None:
        # Not through sys.stdin: Python cannot exit cleanly while a thread waits there.
        while number is not None and os.read(number, 1 << 12):
            pass
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    return ended


def wait_for_any(paths: Sequence[Path], ended: threading.Event) -> bool:
    """Wait until there is something to show; whether it came before the input ended."""
    sources = Sources(paths, expected=True)
    while not sources.find():
        if ended.wait(POLL_S):
            return False
    return True


class Abandoned:
    """Whether the input has ended and no page has been open for `GRACE_S` since."""

    def __init__(self, server: Server, ended: threading.Event) -> None:
        """Watch a server's pages."""
        self._server = server
        self._ended = ended
        self._last_use = time.monotonic()

    def __call__(self) -> bool:
        if self._server.open_pages or not self._ended.is_set():
            self._last_use = time.monotonic()
        return time.monotonic() - self._last_use >= GRACE_S
