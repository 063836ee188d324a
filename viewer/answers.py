"""What the server can say, and the header fields that keep browsers from doing more with it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

from gs_esd.errors import UserError

STATIC = Path(__file__).with_name("static")
PAGE, STYLE, SCRIPT = "index.html", "app.css", "viewer.js"
TYPES = {
    PAGE: "text/html; charset=utf-8",
    STYLE: "text/css; charset=utf-8",
    SCRIPT: "text/javascript; charset=utf-8",
    "THIRD_PARTY.txt": "text/plain; charset=utf-8",
}
"""The files that the page is made of."""

POLICY = {
    "default-src": "'none'",
    "script-src": "'self' 'wasm-unsafe-eval'",  # Spark decodes and sorts in WebAssembly,
    "worker-src": "blob:",  # and does so beside the page
    "connect-src": "'self' blob: data:",
    "img-src": "'self' blob: data:",
    "media-src": "blob:",
    "style-src": "'self'",
    "base-uri": "'none'",
    "form-action": "'none'",
    "frame-ancestors": "'none'",
}
"""The Content-Security-Policy of the page: nothing from elsewhere, nothing made from text."""

SAFETY = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in POLICY.items()),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Connection": "close",
}


@dataclass(frozen=True)
class Answer:
    """A whole answer but for the head."""

    status: int
    kind: str
    body: bytes

    def head(self, extra: Iterable[tuple[str, str]] = ()) -> bytes:
        """The lines before the body."""
        return head(self.status, self.kind, [("Content-Length", str(len(self.body))), *extra])


def head(status: int, kind: str, extra: Iterable[tuple[str, str]] = ()) -> bytes:
    """The lines before any body.

    kind: the media type.
    """
    fields = [("Content-Type", kind), *extra, *SAFETY.items()]
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}"]
    lines += [f"{name}: {value}" for name, value in fields]
    return "\r\n".join([*lines, "", ""]).encode("ascii")


def words(status: int, text: str) -> Answer:
    """A line of text, such as why a request is refused."""
    return Answer(status, "text/plain; charset=utf-8", f"{text}\n".encode(errors="replace"))


def as_json(value: Mapping[str, Any]) -> Answer:
    """A value as JSON."""
    return Answer(200, "application/json", json.dumps(value).encode("ascii"))


def page_files(folder: Path = STATIC) -> dict[str, Answer]:
    """The page's own files by their paths in addresses, read once.

    Raises UserError where they are not there.
    """
    try:
        files = {f"/{name}": _file(folder / name) for name in TYPES}
    except OSError as error:
        raise UserError(
            f"the page is not there: {error.filename}. Build it in viewer/web with "
            "`npm ci && npm run build`, or install gs-esd again"
        ) from error
    return {"/": files.pop(f"/{PAGE}"), **files}


def _file(path: Path) -> Answer:
    return Answer(200, TYPES[path.name], path.read_bytes())
