"""Ctrl-C and kill as a request to stop at the next good place, not wherever the program stands."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """The run stopped at a checkpoint because of a signal, which is `args[0]`."""


class StopRequest:
    """Becomes true once SIGINT or SIGTERM has come."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __bool__(self) -> bool:
        return self.signal is not None


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Note SIGINT and SIGTERM within the block; the next, of either, acts at once, as usual.

    Only a process's main thread may handle signals: in any other, they act as usual.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    usual = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def act_as_usual() -> None:
        for number, handler in usual.items():
            # None: not Python's handler, and none that Python could put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def note(number: int, frame: FrameType | None) -> None:
        request.signal = number
        act_as_usual()

    for number in usual:
        signal.signal(number, note)
    try:
        yield request
    finally:
        act_as_usual()
