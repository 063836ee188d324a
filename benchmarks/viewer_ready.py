"""How long the viewer's page takes to its first settled image, beside a bare page with Spark.

    python -m benchmarks.viewer_ready [--rounds 5] [--gaussians 50000]

Both are opened in turn by the same Chromium, whose WebGL is drawn in software, at 640x480. A time
is from the start of the navigation to when the sorted splats are drawn. Needs Playwright, Node.js,
and `npm ci` in viewer/web.
"""

import argparse
import os
import statistics
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from playwright.sync_api import Browser, ViewportSize, sync_playwright

from gs_esd.errors import UserError
from gs_esd.export.ply import save_splats
from gs_esd.splats.parameters import init_ball
from viewer.shot import SOFTWARE_WEBGL, find_chromium

WEB = Path(__file__).parents[1] / "viewer" / "web"
SIZE: ViewportSize = {"width": 640, "height": 480}
BARE_PAGE = """<!doctype html>
<link rel="icon" href="data:,">
<style>body { margin: 0 }</style>
<canvas></canvas>
<script src="/bare.js"></script>
"""


def main() -> None:
    """Print a table of seconds."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--gaussians", type=int, default=50_000)
    options = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        save_splats(_splats(options.gaussians), folder / "splats.ply")
        try:
            _bundle(folder)
            ours, bare = _measure(folder, options.rounds)
        except UserError as error:
            sys.exit(f"error: {error}")
    print(f"| {options.gaussians:,} Gaussians, SH degree 3 | median s | all |")
    print("|---|---|---|")
    for title, seconds in (("gs-esd viewer", ours), ("bare Spark page", bare)):
        every = ", ".join(f"{each:.2f}" for each in seconds)
        print(f"| {title} | {statistics.median(seconds):.2f} | {every} |")
    ratio = statistics.median(ours) / statistics.median(bare)
    print(f"\nours / bare: {ratio:.2f}")


def _splats(n: int) -> torch.nn.ParameterDict:
    """A ball of small Gaussians of every colour."""
    generator = torch.Generator().manual_seed(0)
    splats = init_ball(n, radius=0.8, opacity=0.5, sh_degree=3, generator=generator)
    splats["shN"].data += 0.1 * torch.randn(splats["shN"].shape, generator=generator)
    return splats


def _bundle(folder: Path) -> None:
    esbuild = WEB / "node_modules" / ".bin" / "esbuild"
    if not esbuild.exists():
        raise UserError(f"the page's packages are not there: run npm ci --ignore-scripts in {WEB}")
    options = ["bench/bare.js", "--bundle", "--minify", "--format=iife", "--log-level=error"]
    subprocess.run([str(esbuild), *options, f"--outfile={folder / 'bare.js'}"], cwd=WEB, check=True)
    (folder / "index.html").write_text(BARE_PAGE, encoding="utf-8")


def _measure(folder: Path, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of the viewer's page and of the bare one; a first round of each does not count."""
    ours, bare = [], []
    with _chromium() as chromium, _viewer(folder) as viewer, _files(folder) as files:
        for _ in range(rounds + 1):
            settled = "gsEsdViewer.ready.then(() => performance.now())"
            ours.append(_seconds(chromium, viewer, settled))
            bare.append(_seconds(chromium, files, "settled"))
    return ours[1:], bare[1:]


@contextmanager
def _chromium() -> Iterator[Browser]:
    path = find_chromium()
    if path is None:
        raise UserError("no Chromium or Chrome was found: install one and see that it is on PATH")
    with sync_playwright() as playwright:
        is_root = sys.platform == "linux" and os.getuid() == 0  # the sandbox does not work then
        browser = playwright.chromium.launch(
            executable_path=path, args=[*SOFTWARE_WEBGL], chromium_sandbox=not is_root
        )
        yield browser
        browser.close()


def _seconds(chromium: Browser, address: str, settled: str) -> float:
    page = chromium.new_page(viewport=SIZE)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    milliseconds: float = page.evaluate(settled)
    page.close()
    if errors:
        raise UserError(f"{address}: {errors[0]}")
    return milliseconds / 1000


@contextmanager
def _viewer(folder: Path) -> Iterator[str]:
    command = [sys.executable, "-m", "viewer", str(folder / "splats.ply"), "--no-open"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().split()[0]
        finally:
            process.terminate()


@contextmanager
def _files(folder: Path) -> Iterator[str]:
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/"
        finally:
            server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


if __name__ == "__main__":
    main()
