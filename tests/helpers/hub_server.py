"""A local Hugging Face Hub, which huggingface_hub itself accesses over HTTP."""

import hashlib
import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Hub:
    """A server of one model under any name.

    Attributes:
        folder: the model's files.
        endpoint: URL of the server.
        error: status and X-Error-Code of the response to every request, if any.
        fetched: files that were downloaded, in order.
    """

    folder: Path
    endpoint: str = ""
    error: tuple[int, str] | None = None
    fetched: list[str] = field(default_factory=list)

    def files(self) -> dict[str, bytes]:
        """Contents of the model's files by path."""
        paths = [path for path in self.folder.rglob("*") if path.is_file()]
        return {path.relative_to(self.folder).as_posix(): path.read_bytes() for path in paths}


@contextmanager
def serve_model(folder: Path) -> Iterator[Hub]:
    """Context with a running server."""
    hub = Hub(folder)

    class Handler(_Handler):
        served = hub

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.endpoint = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield hub
        server.shutdown()
        thread.join()


class _Handler(http.server.BaseHTTPRequestHandler):
    served: Hub

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if self.served.error is not None:
            status, code = self.served.error
            self._respond(b"{}", status, {"X-Error-Code": code})
        elif path.startswith("/api/models/"):
            listing = self._tree() if "/tree/" in path else self._info()
            self._respond(json.dumps(listing).encode(), 200, {"Content-Type": "application/json"})
        else:
            self._serve(path.partition("/resolve/")[2].partition("/")[2])

    do_HEAD = do_GET

    def _serve(self, name: str) -> None:
        content = self.served.files().get(name)
        if content is None:  # huggingface_hub also requests optional files
            self._respond(b"", 404, {"X-Error-Code": "EntryNotFound"})
            return
        if self.command == "GET":
            self.served.fetched.append(name)
        self._respond(content, 200, {"ETag": f'"{_hash(content)}"', "X-Repo-Commit": COMMIT})

    def _tree(self) -> list[dict[str, Any]]:
        files = self.served.files().items()
        return [
            {"type": "file", "path": name, "size": len(content), "oid": _hash(content)}
            for name, content in files
        ]

    def _info(self) -> dict[str, Any]:
        files = [
            {"rfilename": name, "size": len(content)}
            for name, content in self.served.files().items()
        ]
        return {"id": "owner/name", "sha": COMMIT, "siblings": files, "tags": []}

    def _respond(self, body: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Log nothing."""


def _hash(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()
