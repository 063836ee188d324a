"""Chromium's DevTools protocol over a pair of pipes: commands, their answers, and events.

One JSON message each, ended by a zero byte; see https://chromedevtools.github.io/devtools-protocol.
"""

import json
import os
import select
import time
from collections.abc import Callable
from typing import Any

Event = dict[str, Any]


class DevToolsError(RuntimeError):
    """Chromium refused a command, ended, or did not answer in time."""


class DevTools:
    """Talks to one Chromium. Not for several threads.

    events: what was told unasked, in order; each with "method", "params" and perhaps "sessionId".
    """

    def __init__(self, read_from: int, write_to: int, timeout_s: float = 60.0) -> None:
        """Take two open file descriptors; `close` closes them."""
        self.events: list[Event] = []
        self.timeout_s = timeout_s
        self._read_from, self._write_to = read_from, write_to
        self._pending = bytearray()
        self._last_id = 0

    def close(self) -> None:
        """Hang up; Chromium ends then."""
        os.close(self._write_to)
        os.close(self._read_from)

    def send(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Give a command and wait for its result. Raises DevToolsError."""
        self._last_id += 1
        message: dict[str, Any] = {"id": self._last_id, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        self._write(json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + self.timeout_s
        while (answer := self._next(deadline, method)).get("id") != self._last_id:
            if "method" in answer:
                self.events.append(answer)
        if "error" in answer:
            raise DevToolsError(f"{method}: {answer['error'].get('message')}")
        result: dict[str, Any] = answer["result"]
        return result

    def wait_for(self, is_wanted: Callable[[Event], bool], since: int = 0) -> Event:
        """The first event from `events[since]` on that is wanted, be it yet to come.

        Raises DevToolsError where it does not come in time.
        """
        deadline = time.monotonic() + self.timeout_s
        for event in self.events[since:]:
            if is_wanted(event):
                return event
        while True:
            message = self._next(deadline, "an event")
            if "method" in message:
                self.events.append(message)
                if is_wanted(message):
                    return message

    def _write(self, content: bytes) -> None:
        try:
            while content:
                content = content[os.write(self._write_to, content) :]
        except OSError as error:
            raise DevToolsError("Chromium has ended") from error

    def _next(self, deadline: float, what: str) -> dict[str, Any]:
        """The next message, of either kind."""
        while (end := self._pending.find(0)) < 0:
            left = max(deadline - time.monotonic(), 0)
            if not select.select([self._read_from], [], [], left)[0]:
                raise DevToolsError(f"no answer to {what} within {self.timeout_s:g} s")
            piece = os.read(self._read_from, 1 << 20)
            if not piece:
                raise DevToolsError("Chromium has ended")
            self._pending += piece
        message: dict[str, Any] = json.loads(self._pending[:end])
        del self._pending[: end + 1]
        return message
