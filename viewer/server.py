"""The page's server: a few addresses on one port, for readers only.

One connection, one request: there is nothing to smuggle a second one into. Nothing that a client
sends becomes a path: files are named by their number in the scene. Connections are few and each
wait has an end, so that clients that are slow, dead or hostile hold up themselves only.
"""

import asyncio
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any

from gs_esd.errors import UserError
from viewer import answers
from viewer.answers import Answer
from viewer.events import COME_BACK_SOON, STILL_HERE, History
from viewer.files import Signature, pieces, signature
from viewer.hosts import Host
from viewer.request import END_OF_HEAD, Refused, Request, parse_head
from viewer.watch import Watch

_SPLAT = re.compile(r"/splats/(0|[1-9][0-9]{0,8})")


@dataclass(frozen=True)
class Limits:
    """What a client may ask of the server.

    head_s: to send a request's head. stall_s: to take the next piece of an answer.
    linger_s: to hang up after the answer.
    heartbeat_s: between signs of life where there are no events.
    look_s: between looks at the files; every `thorough`th is a thorough one.
    """

    connections: int = 128
    head_bytes: int = 16384
    head_s: float = 10.0
    stall_s: float = 30.0
    linger_s: float = 1.0
    heartbeat_s: float = 15.0
    look_s: float = 0.3
    thorough: int = 7


@dataclass
class Client:
    """An open connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    stall_s: float

    async def send(self, content: bytes) -> None:
        """Send, at the client's pace. Raises TimeoutError where it takes too long."""
        self.writer.write(content)
        async with asyncio.timeout(self.stall_s):
            await self.writer.drain()


class Server:
    """Answers requests for the page, the scene, its splats and its changes."""

    def __init__(
        self, watch: Watch, files: Mapping[str, Answer], host: Host, limits: Limits | None = None
    ) -> None:
        """files: the page's, by path. Nothing is listened to yet."""
        self._watch = watch
        self._files = files
        self._host = host
        self._limits = limits or Limits()
        self._history = History(watch.scene)
        self._connections = 0
        self._pages = 0
        self._news = asyncio.Event()

    @property
    def pages(self) -> int:
        """How many pages are open, as far as is known: those that listen to events."""
        return self._pages

    async def serve(self, listening: socket.socket, ready: Callable[[], None]) -> None:
        """Serve until cancelled.

        ready: called once when connections are being taken.
        """
        server = await asyncio.start_server(self._connected, sock=listening)
        try:
            ready()
            await self._keep_looking()
        finally:
            server.close()  # and does not wait for pages that listen to events

    async def _keep_looking(self) -> None:
        looks = left_out = 0
        while True:
            await asyncio.sleep(self._limits.look_s)
            looks += 1
            await asyncio.to_thread(self._watch.look, looks % self._limits.thorough == 0)
            if self._watch.left_out > left_out:
                left_out = self._watch.left_out
                print(f"warning: the page has no place for {left_out} more", file=sys.stderr)
            if self._history.update(self._watch.scene):
                self._news.set()
                self._news = asyncio.Event()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = Client(reader, writer, self._limits.stall_s)
        writer.transport.set_write_buffer_limits(0)  # what is sent has left this process
        self._connections += 1
        try:
            if self._connections > self._limits.connections:
                too_many = answers.words(503, "too many connections; try again")
                writer.write(too_many.head() + too_many.body)
            else:
                await self._serve(client)
                await self._linger(client)
        except (OSError, TimeoutError, asyncio.CancelledError):
            writer.transport.abort()  # the client is gone, or as good as gone, or the server is
        finally:
            self._connections -= 1
            writer.close()

    async def _serve(self, client: Client) -> None:
        try:
            head = await self._read_head(client.reader)
            if head is None:
                return
            request = parse_head(head)
            self._check(request)
            await self._answer(request, client)
        except Refused as refused:
            answer = answers.words(refused.status, refused.words)
            allow = [("Allow", "GET, HEAD")] if refused.status == 405 else []
            await client.send(answer.head(allow) + answer.body)

    async def _read_head(self, reader: asyncio.StreamReader) -> bytes | None:
        """The head of a request; None where the client hangs up instead of sending one."""
        head = b""
        try:
            async with asyncio.timeout(self._limits.head_s):
                while END_OF_HEAD not in head:
                    piece = await reader.read(self._limits.head_bytes + 1 - len(head))
                    if not piece:
                        return None
                    head += piece
                    if len(head) > self._limits.head_bytes:
                        raise Refused(431, "the header is too long")
        except TimeoutError as error:
            raise Refused(408, "the request did not come in time") from error
        return head.partition(END_OF_HEAD)[0]

    def _check(self, request: Request) -> None:
        """Raise Refused unless the request is one that this server answers."""
        if not self._host.answers_to(request.fields["host"]):
            raise Refused(421, "this server is not the host that the request names")
        if request.method not in ("GET", "HEAD"):
            raise Refused(405, "this server can only be read from")
        foreign = request.fields.get("sec-fetch-site") in ("cross-site", "same-site")
        if foreign and request.fields.get("sec-fetch-mode") != "navigate":
            raise Refused(403, "other pages may link to this one, but not use it")

    async def _answer(self, request: Request, client: Client) -> None:
        if splat := _SPLAT.fullmatch(request.path):
            await self._send_splat(int(splat[1]), request.method == "HEAD", client)
        elif request.path == "/events":
            await self._send_events(request, client)
        else:
            answer = self._whole(request.path)
            await client.send(answer.head() + (b"" if request.method == "HEAD" else answer.body))

    def _whole(self, path: str) -> Answer:
        if path == "/scene.json":
            return answers.as_json(self._watch.scene.as_json(live=True))
        if path not in self._files:
            raise Refused(404, "there is nothing here")
        return self._files[path]

    async def _send_splat(self, id: int, only_head: bool, client: Client) -> None:
        """Send the file that is there now, from beginning to end or not to the end."""
        try:
            file, splat = await asyncio.to_thread(self._watch.open, id)
        except KeyError as error:
            raise Refused(404, "there is no such splat") from error
        except UserError as error:
            raise Refused(404, str(error)) from error
        with closing(file):
            before = signature(os.fstat(file.fileno()))
            length, content = pieces(file, splat, "the file")
            size = [("Content-Length", str(length))]
            await client.send(answers.head(200, "application/octet-stream", size))
            if not only_head:
                await _send_unchanged(client, content, length, file.fileno(), before)

    async def _send_events(self, request: Request, client: Client) -> None:
        """Tell of changes, until the client hangs up."""
        await client.send(answers.head(200, "text/event-stream"))
        if request.method == "HEAD":
            return
        known = self._history.known(request.fields.get("last-event-id"))
        text = COME_BACK_SOON + self._history.stream(known)
        gone = asyncio.ensure_future(client.reader.read(1))
        self._pages += 1
        try:
            while not gone.done():
                known, news = self._history.count, self._news
                await client.send(text)
                await self._wait(gone, news)
                text = self._history.stream(known) if news.is_set() else STILL_HERE
        finally:
            self._pages -= 1
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)

    async def _wait(self, gone: asyncio.Future[bytes], news: asyncio.Event) -> None:
        """Until the client is gone, there are news, or it is time for a sign of life."""
        waiting = asyncio.ensure_future(news.wait())
        either: set[asyncio.Future[Any]] = {gone, waiting}
        heartbeat_s, first = self._limits.heartbeat_s, asyncio.FIRST_COMPLETED
        await asyncio.wait(either, timeout=heartbeat_s, return_when=first)
        waiting.cancel()

    async def _linger(self, client: Client) -> None:
        """Wait until the client hangs up, for a while.

        A connection closed with bytes unread is reset, and an answer on its way is lost with it.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(self._limits.linger_s):
                client.writer.write_eof()
                while await client.reader.read(1 << 16):
                    pass


async def _send_unchanged(
    client: Client, content: Iterator[bytes], length: int, file: int, before: Signature
) -> None:
    """Send the pieces of a file, the last only if it was one version all the time.

    Raises ConnectionAbortedError where it was not: a client that got too little tries again.
    """
    held, total = b"", 0
    try:
        while piece := await asyncio.to_thread(next, content, b""):
            total += len(piece)
            if total > length:
                break
            await client.send(held)
            held = piece
    except UserError as error:
        raise ConnectionAbortedError(str(error)) from error
    if total != length or signature(os.fstat(file)) != before:
        raise ConnectionAbortedError("the file was changed")
    await client.send(held)
