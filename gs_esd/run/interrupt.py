"""Graceful shutdown: turns SIGINT and SIGTERM into a stop flag that the training loop polls."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """The run stopped at a checkpoint because of a signal; `args[0]` is its number."""


class StopRequest:
    """A flag: true once SIGINT or SIGTERM was received; `signal` is its number."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __bool__(self) -> bool:
        return self.signal is not None


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Catch the first SIGINT or SIGTERM within the block; a second one acts immediately.

    Only the main thread can install signal handlers: in other threads, signals act as before.

    Yields:
        The flag that the first signal sets.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    previous = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def restore_handlers() -> None:
        for number, handler in previous.items():
            # None: a handler not installed from Python, which cannot be restored from Python.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def set_flag(number: int, frame: FrameType | None) -> None:
        request.signal = number
        restore_handlers()

    for number in previous:
        signal.signal(number, set_flag)
    try:
        yield request
    finally:
        restore_handlers()
