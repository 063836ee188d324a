"""Serves the page on one port to readers: the standard library's threading server, with limits.

Nothing that a client sends becomes a path: splats are named by their number in the scene.
Connections are few and every wait has an end: slow, dead or hostile clients block only themselves.
"""

import socket
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from viewer.page import PageFile
from viewer.scene.watch import Watch
from viewer.server.events import History, Subscribers
from viewer.server.handler import BusyHandler, Handler
from viewer.server.hosts import Host

ACCEPT_POLL_S = 0.1
"""How often the accepting thread checks whether the server is to stop."""
CLOSE_S = 2.0
"""How long stopping waits for connections, all of which are shut down first."""


@dataclass(frozen=True)
class Limits:
    """Limits per client, and how often files are checked.

    Args:
        connections: Open at once; more are refused with status 503.
        head_bytes: Size of a request's head.
        head_s: Time to send a request's head.
        stall_s: Time to receive one piece of a response.
        linger_s: Time to close the connection after the response.
        heartbeat_s: Interval of comments in a stream of events, which detect dead clients.
        refresh_s: Interval of checks of the files; every `thorough_every`th also searches folders.
    """

    connections: int = 128
    head_bytes: int = 16384
    head_s: float = 10.0
    stall_s: float = 30.0
    linger_s: float = 1.0
    heartbeat_s: float = 15.0
    refresh_s: float = 0.3
    thorough_every: int = 7


class Server(ThreadingMixIn, TCPServer):
    """Serves the page, the scene, its splats and its changes; one thread a connection."""

    daemon_threads = True

    def __init__(
        self,
        watch: Watch,
        files: Mapping[str, PageFile],
        host: Host,
        listening: socket.socket,
        limits: Limits | None = None,
    ) -> None:
        """Take over a listening socket; connections are accepted from `serve` on.

        Args:
            files: The page's, by URL path, see `viewer.page.page_files`.
            host: Decides which `Host` headers are allowed.
        """
        super().__init__(listening.getsockname(), Handler, bind_and_activate=False)
        self.socket.close()  # TCPServer has made one of its own
        self.socket = listening
        self.watch = watch
        self.files = files
        self.host = host
        self.limits = limits or Limits()
        self.history = History(watch.scene)
        self.subscribers = Subscribers()
        self._stopped = threading.Event()
        self._connections: set[Any] = set()
        self._connections_changed = threading.Condition()

    @property
    def open_connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    @property
    def open_pages(self) -> int:
        """How many pages are open: those that listen to events."""
        return len(self.subscribers)

    def serve(self, ready: Callable[[], None], is_done: Callable[[], bool] = lambda: False) -> None:
        """Serve until `is_done`, `stop` in another thread, or an exception such as Ctrl-C.

        Args:
            ready: Called once when connections are accepted.
            is_done: Called after every check of the files.
        """
        threading.Thread(target=self.serve_forever, args=(ACCEPT_POLL_S,), daemon=True).start()
        try:
            ready()
            self.watch_files(is_done)
        finally:
            self.shutdown()
            self.server_close()

    def stop(self) -> None:
        """End `serve`."""
        self._stopped.set()

    def watch_files(self, is_done: Callable[[], bool]) -> None:
        """Check the files again and again, and notify the pages of changes."""
        refreshes = left_out = 0
        while not (is_done() or self._stopped.wait(self.limits.refresh_s)):
            refreshes += 1
            self.watch.refresh(thorough=refreshes % self.limits.thorough_every == 0)
            if self.watch.left_out > left_out:
                left_out = self.watch.left_out
                print(f"warning: the page has no place for {left_out} more", file=sys.stderr)
            if self.history.update(self.watch.scene):
                self.subscribers.notify()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start a thread for a connection, or refuse it where there are too many."""
        with self._connections_changed:
            is_full = len(self._connections) >= self.limits.connections
            if not is_full:
                self._connections.add(request)
        if is_full:
            BusyHandler(request, client_address, self)
            self.shutdown_request(request)
        else:
            super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        """Forget a connection and close it."""
        with self._connections_changed:
            self._connections.discard(request)
            self._connections_changed.notify_all()
        super().close_request(request)

    def server_close(self) -> None:
        """Stop listening, and end all connections."""
        super().server_close()
        with self._connections_changed:
            for request in self._connections:
                with suppress(OSError):
                    request.shutdown(socket.SHUT_RDWR)
            self._connections_changed.wait_for(lambda: not self._connections, CLOSE_S)
