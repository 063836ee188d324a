"""An image of the page, taken by a Chromium without a window."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from gs_esd.errors import UserError
from gs_esd.system.atomic import atomic_write
from viewer.answers import Answer
from viewer.chromium import Chromium
from viewer.devtools import DevToolsError
from viewer.single_file import write_single_file
from viewer.watch import Watch

MOST_S = 300.0
"""Software draws half a million Gaussians in about a minute."""


def write_shot(
    watch: Watch, files: Mapping[str, Answer], path: Path, size: tuple[int, int]
) -> None:
    """Write a PNG of what the page shows at first, without its controls.

    files: the page's, as of `page_files`. size: width and height in pixels.
    Raises UserError where there is no Chromium, or the page cannot be drawn.
    """
    with tempfile.TemporaryDirectory() as folder, Chromium(MOST_S) as chromium:
        page = chromium.open_page(*size)
        write_single_file(watch, files, Path(folder) / "page.html")
        try:
            page.go((Path(folder) / "page.html").as_uri())
            page.evaluate("window.gsEsdViewer.setOptions({ui: false})")
            page.evaluate("window.gsEsdViewer.ready")
            page.evaluate("window.gsEsdViewer.settled()")
            image = page.screenshot()
        except DevToolsError as error:
            raise UserError(f"the page could not be drawn: {error}") from error
    with atomic_write(path) as partial:
        partial.write_bytes(image)
