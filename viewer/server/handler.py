"""Handles one HTTP request: reads its head within limits, checks it, sends the response.

The standard library parses requests, but leniently: it takes bare line feeds, folded lines, a space
before a colon, several hosts. So a head must match a strict grammar first, in which nothing can be
read in two ways (RFC 9110 and 9112). There is one request a connection and no request has a body.
"""

import io
import json
import os
import re
import selectors
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING

from gs_esd.errors import UserError
from viewer.page import SECURITY_HEADERS
from viewer.scene.files import PIECE_BYTES, Signature, pieces, signature
from viewer.server.events import HEARTBEAT, RETRY

if TYPE_CHECKING:
    from viewer.server.server import Server

MAX_LINE_BYTES = 4096
MAX_FIELDS = 64
ALLOW = {"Allow": "GET, HEAD"}

_END_OF_HEAD = b"\r\n\r\n"
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(_TOKEN + rb" [!-~]+ HTTP/[1-9]\.[0-9]")
_FIELD = re.compile(_TOKEN + rb":[^\x00-\x08\x0a-\x1f\x7f]*")
_SPLAT_PATH = re.compile(r"/splats/(0|[1-9][0-9]{0,8})")


class Refused(Exception):
    """The request is refused with an HTTP status of 400 or more, and a reason in words."""

    def __init__(self, status: int, reason: str) -> None:
        """Take what the response will say."""
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Handler(BaseHTTPRequestHandler):
    """Handles the only request of a connection."""

    server: "Server"
    disable_nagle_algorithm = True
    protocol_version = request_version = default_request_version = "HTTP/1.1"
    command = ""

    def handle(self) -> None:
        """Send one response, whatever is requested, and close the connection."""
        with suppress(OSError):  # the client is gone, or too slow
            try:
                self._read_head()
                if self.parse_request():
                    self._check_request()
                    self._send_resource(self.path.partition("?")[0])
            except Refused as refused:
                self.send_error(refused.status, refused.reason)
            self._linger()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Send a line of text instead of what was requested; the parser calls this too."""
        body = f"{message or 'the request is not valid'}\n".encode(errors="replace")
        extra = ALLOW if code == 405 else {}
        self._send(code, "text/plain; charset=utf-8", body, extra)

    def handle_expect_100(self) -> bool:
        """Ignore `Expect: 100-continue`, because no request has a body."""
        return True

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""

    def _read_head(self) -> None:
        """Receive the request's head, and put it where `parse_request` reads from."""
        limits, head = self.server.limits, b""
        deadline = time.monotonic() + limits.head_s
        try:
            while _END_OF_HEAD not in head:
                if len(head) > limits.head_bytes:
                    raise Refused(431, "the header is too long")
                piece = _receive(self.connection, limits.head_bytes + 1 - len(head), deadline)
                if not piece:
                    raise ConnectionAbortedError("the client has closed the connection")
                head += piece
        except TimeoutError as error:
            raise Refused(408, "the request did not come in time") from error
        finally:
            self.connection.settimeout(limits.stall_s)
        head = head.partition(_END_OF_HEAD)[0]
        check_head(head)
        self.rfile.close()
        self.rfile = io.BytesIO(head + _END_OF_HEAD)
        self.raw_requestline = self.rfile.readline()

    def _check_request(self) -> None:
        """Raise Refused unless it is a request for this host, without a body, by our own page."""
        if not self.path.startswith("/"):
            raise Refused(400, "an address begins with a slash here")
        hosts, lengths = (self.headers.get_all(n, []) for n in ("Host", "Content-Length"))
        if len(hosts) != 1:
            raise Refused(400, "the header must name one host")
        if "Transfer-Encoding" in self.headers or lengths not in ([], ["0"]):
            raise Refused(400, "requests have no body here")
        if not self.server.host.allows(hosts[0].strip(" \t")):
            raise Refused(421, "this server is not the host that the request names")
        if self.command not in ("GET", "HEAD"):
            raise Refused(405, "this server can only be read from")
        is_foreign = self.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
        if is_foreign and self.headers.get("Sec-Fetch-Mode") != "navigate":
            raise Refused(403, "other pages may link to this one, but not use it")

    def _send_resource(self, path: str) -> None:
        if splat := _SPLAT_PATH.fullmatch(path):
            self._send_splat(int(splat[1]))
        elif path == "/events":
            self._send_events()
        elif path == "/scene.json":
            scene = self.server.watch.scene.as_json(live=True)
            self._send(200, "application/json", json.dumps(scene).encode("ascii"))
        elif file := self.server.files.get(path):
            self._send(200, file.content_type, file.body)
        else:
            raise Refused(404, "there is nothing here")

    def _send(
        self, status: int, content_type: str, body: bytes, extra: Mapping[str, str] | None = None
    ) -> None:
        self._send_head(status, content_type, {"Content-Length": str(len(body)), **(extra or {})})
        if self.command != "HEAD":
            for start in range(0, len(body), PIECE_BYTES):  # the time limit is per piece
                self.wfile.write(body[start : start + PIECE_BYTES])

    def _send_head(self, status: int, content_type: str, extra: Mapping[str, str]) -> None:
        self.send_response_only(status)
        for name, value in ({"Content-Type": content_type} | {**extra} | SECURITY_HEADERS).items():
            self.send_header(name, value)
        self.end_headers()

    def _send_splat(self, id: int) -> None:
        """Send the file that is there now, complete and of one version, or cut short."""
        try:
            file, splat = self.server.watch.open(id)
        except KeyError as error:
            raise Refused(404, "there is no such splat") from error
        except UserError as error:
            raise Refused(404, str(error)) from error
        with file:
            before = signature(os.fstat(file.fileno()))
            length, content = pieces(file, splat, "the file")
            self._send_head(200, "application/octet-stream", {"Content-Length": str(length)})
            if self.command != "HEAD":
                for piece in _unchanged(content, length, file.fileno(), before):
                    self.wfile.write(piece)

    def _send_events(self) -> None:
        """Send changes as server-sent events until the client closes the connection."""
        self._send_head(200, "text/event-stream", {})
        if self.command == "HEAD":
            return
        history, known = self.server.history, self.headers.get("Last-Event-ID")
        with self.server.subscribers.subscription() as news, selectors.DefaultSelector() as ready:
            ready.register(news, selectors.EVENT_READ)
            ready.register(self.connection, selectors.EVENT_READ)
            count, text = history.stream(history.count_of(known))
            self.wfile.write(RETRY + text)
            while True:
                found = [key.fileobj for key, _ in ready.select(self.server.limits.heartbeat_s)]
                if self.connection in found:  # closed, because a client sends nothing more
                    return
                text = HEARTBEAT
                if found:
                    news.recv(PIECE_BYTES)
                    count, text = history.stream(count)
                self.wfile.write(text)

    def _linger(self) -> None:
        """Wait until the client closes the connection, within a limit.

        Closing with bytes unread resets the connection, which can lose the response on its way.
        """
        self.connection.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + self.server.limits.linger_s
        while _receive(self.connection, 1 << 16, deadline):
            pass


class BusyHandler(Handler):
    """Refuses a connection at once, because there are too many."""

    def handle(self) -> None:
        """Send the status 503 without waiting."""
        self.connection.setblocking(False)
        with suppress(OSError):
            self.send_error(503, "too many connections; try again")


def check_head(head: bytes) -> None:
    """Raise Refused unless a request's head, without its empty line, is well-formed and short."""
    request_line, *fields = head.split(b"\r\n")
    if len(request_line) > MAX_LINE_BYTES:
        raise Refused(414, "the address is too long")
    if len(fields) > MAX_FIELDS or any(len(field) > MAX_LINE_BYTES for field in fields):
        raise Refused(431, "the header is too long")
    if not _REQUEST_LINE.fullmatch(request_line):
        raise Refused(400, "this is no request of HTTP/1.1")
    if not all(_FIELD.fullmatch(field) for field in fields):
        raise Refused(400, "the header has a line that is no field")


def _receive(connection: socket.socket, size: int, deadline: float) -> bytes:
    """Receive some bytes; none where the client has closed. Raises TimeoutError."""
    left_s = deadline - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    connection.settimeout(left_s)
    return connection.recv(size)


def _unchanged(
    content: Iterator[bytes], length: int, file: int, before: Signature
) -> Iterator[bytes]:
    """The pieces of a file, the last only if it was the same version all the time.

    Raises:
        ConnectionAbortedError: It was not; a client that got too little tries again.
    """
    held, total = b"", 0
    try:
        for piece in content:
            total += len(piece)
            if total > length:
                break
            yield held
            held = piece
    except UserError as error:
        raise ConnectionAbortedError(str(error)) from error
    if total != length or signature(os.fstat(file)) != before:
        raise ConnectionAbortedError("the file was changed")
    yield held
