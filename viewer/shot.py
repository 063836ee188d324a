"""A PNG of the page, taken by Chromium's own `--headless --screenshot`."""

import html
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from gs_esd.errors import UserError
from gs_esd.system.atomic import atomic_write
from viewer.page import SCRIPT, PageFile
from viewer.scene.watch import Watch
from viewer.single_file import write_single_file

EXECUTABLES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
MAC_EXECUTABLE = "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"
TIMEOUT_S = 300.0
"""Software draws half a million Gaussians in about a minute."""

SOFTWARE_WEBGL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
"""Flags for the same images on machines with and without a GPU."""
FLAGS = (
    "--headless",
    "--dump-dom",
    *SOFTWARE_WEBGL,
    "--force-color-profile=srgb",
    "--hide-scrollbars",
    "--mute-audio",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-sync",
    "--kiosk",  # the page fills the screen
)

# Chromium takes its screenshot at the load event. Virtual time would not wait for Spark's workers,
# so an open document in an iframe holds that event up until the splats are drawn. What became of it
# is left in an attribute, which --dump-dom prints; the embedded splats are not to be printed.
SCREENSHOT_SCRIPT = """
(async () => {
  const frame = document.createElement("iframe");
  frame.hidden = true;
  document.body.append(frame);
  frame.contentDocument.open();
  const failed = new Promise((_, fail) => {
    addEventListener("error", ({ error }) => error && fail(error));
    addEventListener("unhandledrejection", ({ reason }) => fail(reason));
  });
  const draw = async () => {
    while (document.readyState === "loading") await new Promise((done) => setTimeout(done));
    const messages = document.getElementById("messages")?.innerText;
    if (!window.gsEsdViewer) throw messages || "its script did not start";
    gsEsdViewer.setOptions({ ui: false });
    await gsEsdViewer.ready;
    await gsEsdViewer.settled();
    return `ready ${innerWidth}x${innerHeight}`;
  };
  document.documentElement.dataset.shot = await Promise.race([draw(), failed]).catch(String);
  document.querySelectorAll("script").forEach((script) => script.remove());
  frame.contentDocument.close();
})();
"""
_SHOT = re.compile(r'<html\b[^>]*\bdata-shot="([^"]*)"')


def find_chromium() -> str | None:
    """The path of an installed Chromium or Chrome, None where there is none."""
    found = (shutil.which(name) for name in EXECUTABLES)
    on_mac = MAC_EXECUTABLE if os.path.exists(MAC_EXECUTABLE) else None
    return next((path for path in found if path), on_mac)


def write_shot(
    watch: Watch, files: Mapping[str, PageFile], path: Path, size: tuple[int, int]
) -> None:
    """Write a PNG of what the page shows at first, without its controls.

    Args:
        files: The page's, see `viewer.page.page_files`.
        path: The PNG to write, atomically.
        size: Width and height in pixels.

    Raises:
        UserError: There is no Chromium, or the page cannot be drawn.
    """
    chromium = find_chromium()
    if chromium is None:
        raise UserError(
            "no Chromium or Chrome was found, which this needs to draw pages. "
            "Install one (Debian and Ubuntu: apt install chromium) and see that it is on PATH."
        )
    script = files[f"/{SCRIPT}"]
    script = replace(script, body=script.body + SCREENSHOT_SCRIPT.encode())
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        write_single_file(watch, {**files, f"/{SCRIPT}": script}, folder / "page.html")
        _check_shot(_run(chromium, folder, size), size)
        image = (folder / "page.png").read_bytes()
    with atomic_write(path) as partial:
        partial.write_bytes(image)


def _run(chromium: str, folder: Path, size: tuple[int, int]) -> str:
    """Have Chromium write page.png from page.html; the page's HTML in the end."""
    width, height = size
    command = [
        chromium,
        *FLAGS,
        f"--user-data-dir={folder / 'profile'}",
        f"--screen-info={{{width}x{height}}}",
        f"--window-size={width},{height}",
        f"--screenshot={folder / 'page.png'}",
        (folder / "page.html").as_uri(),
    ]
    if sys.platform == "linux" and os.getuid() == 0:
        command.insert(1, "--no-sandbox")  # the sandbox does not work for root
    try:
        ran = subprocess.run(
            command, capture_output=True, stdin=subprocess.DEVNULL, timeout=TIMEOUT_S
        )
    except subprocess.TimeoutExpired as error:
        raise _undrawn(f"it took more than {TIMEOUT_S:g} s") from error
    if ran.returncode or not (folder / "page.png").exists():
        last = ran.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise _undrawn(f"Chromium ended with exit code {ran.returncode}: {last}")
    return ran.stdout.decode(errors="replace")


def _check_shot(page: str, size: tuple[int, int]) -> None:
    """Raise UserError unless the page says that it drew its splats, at this size."""
    found = _SHOT.search(page)
    shot = html.unescape(found[1]) if found else "it did not end"
    wanted = f"ready {size[0]}x{size[1]}"
    if shot.startswith("ready ") and shot != wanted:
        raise _undrawn(
            f"this Chromium gave it {shot[6:]} pixels instead of {wanted[6:]}; version 156 does not"
        )
    if shot != wanted:
        raise _undrawn(shot)


def _undrawn(why: str) -> UserError:
    return UserError(f"the page could not be drawn: {why}")
