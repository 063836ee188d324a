"""A viewer that another program started to show what it makes, such as a run or a sweep.

The program keeps the viewer's standard input open and writes nothing to it. The end of it, however
the program went, says that the viewer is alone; it then goes on for as long as a page is open.
"""

import asyncio
import os
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from viewer.server import Server
from viewer.sources import Sources

GRACE_S = 30.0
"""How long no page need be open: one may be on its way, or be loaded again."""
LOOK_S = 0.2


def input_ended() -> threading.Event:
    """An event that is set once standard input has ended."""
    ended = threading.Event()
    number = None if sys.stdin is None else sys.stdin.fileno()

    def read() -> None:
        # Not through sys.stdin: Python cannot end well while a thread waits there.
        while number is not None and os.read(number, 1 << 12):
            pass
        ended.set()

    threading.Thread(target=read, daemon=True).start()
    return ended


def wait_for_any(paths: Sequence[Path], ended: threading.Event) -> bool:
    """Wait until there is something to show; whether it came before the input ended."""
    sources = Sources(paths, expected=True)
    while not sources.find():
        if ended.wait(LOOK_S):
            return False
    return True


async def serve(
    server: Server, listening: socket.socket, ready: Callable[[], None], ended: threading.Event
) -> None:
    """Serve until the input has ended and no page has been open for a while since."""
    serving = asyncio.ensure_future(server.serve(listening, ready))
    unused = asyncio.ensure_future(_until_unused(server, ended))
    done, others = await asyncio.wait({serving, unused}, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    for task in done:
        task.result()


async def _until_unused(server: Server, ended: threading.Event) -> None:
    unused_s = 0.0
    while unused_s < GRACE_S:
        await asyncio.sleep(LOOK_S)
        unused_s = unused_s + LOOK_S if ended.is_set() and not server.pages else 0.0
