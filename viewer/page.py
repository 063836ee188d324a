"""The files that the page is made of, and the HTTP headers that restrict what it can do."""

from dataclasses import dataclass
from pathlib import Path

from gs_esd.errors import UserError

STATIC = Path(__file__).with_name("static")
PAGE, STYLE, SCRIPT = "index.html", "app.css", "viewer.js"
CONTENT_TYPES = {
    PAGE: "text/html; charset=utf-8",
    STYLE: "text/css; charset=utf-8",
    SCRIPT: "text/javascript; charset=utf-8",
    "THIRD_PARTY.txt": "text/plain; charset=utf-8",
}
"""By file name; nothing else is served from disk but splats."""

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
"""The page's Content-Security-Policy: nothing from other hosts, no code made from text."""

SECURITY_HEADERS = {
    "Content-Security-Policy": "; ".join(f"{name} {value}" for name, value in POLICY.items()),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Connection": "close",
}
"""Sent with every response."""


@dataclass(frozen=True)
class PageFile:
    """One of the page's files, in memory."""

    content_type: str
    body: bytes


def page_files(folder: Path = STATIC) -> dict[str, PageFile]:
    """Read the page's files.

    Returns:
        The files by URL path; the page itself is at "/".

    Raises:
        UserError: The page was not built.
    """
    try:
        files = {
            f"/{name}": PageFile(content_type, (folder / name).read_bytes())
            for name, content_type in CONTENT_TYPES.items()
        }
    except OSError as error:
        raise UserError(
            f"the page is not there: {error.filename}. Build it in viewer/web with "
            "`npm ci && npm run build`, or install gs-esd again"
        ) from error
    return {"/": files.pop(f"/{PAGE}"), **files}
