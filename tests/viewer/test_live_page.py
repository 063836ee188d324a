"""The page follows splats that change: the newest is seen, the camera stays, nothing piles up."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from tests.helpers.shown_splats import Running, serving, write_ply, write_run
from tests.helpers.viewer_pages import (
    image,
    look,
    new_page,
    options,
    press,
    psnr,
    settle,
    shown,
    text,
    until,
    wait_ready,
)
from viewer.page import page_files

SIZE = (240, 180)
POSITION = (0, 0, 6)
OTHER_DB = 45
"""Images of other splats than before, which are small, are less alike."""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The folder of a run that is under way, with its first snapshot."""
    folder = write_run(tmp_path / "run", finished=False)
    snapshot(folder, draw=0, step=100)
    return folder


@pytest.fixture
def running(run: Path) -> Iterator[Running]:
    with serving([run], page_files()) as server:
        yield server


@pytest.fixture
def page(browser: Browser, running: Running) -> Iterator[Page]:
    with shown(browser, running, *SIZE) as page:
        options(page, background="black")
        look(page, POSITION)
        yield page


def snapshot(run: Path, draw: int, step: int, n: int = 40) -> None:
    write_ply(run / "next.ply", n, 1, draw, prompt="a corgi", step=step, steps=3000)
    (run / "next.ply").replace(run / "live.ply")


def until_step(page: Page, step: int) -> None:
    """Wait for the page to say that it has got this step, and to have drawn it."""
    until(page, f"document.getElementById('live-text').innerText.includes('step {step} of')")
    settle(page)


def drawn(browser: Browser, path: Path) -> np.ndarray:
    """What the page shows of a file that it is opened with."""
    with serving([path], page_files()) as server, shown(browser, server, *SIZE) as page:
        options(page, background="black")
        look(page, POSITION)
        return image(page)


def test_the_newest_snapshot_is_seen_and_the_camera_stays(page: Page, run: Path) -> None:
    assert "step 100 of 3,000" in text(page, "#live")
    before, camera = image(page), page.evaluate("gsEsdViewer.camera()")
    snapshot(run, draw=1, step=200)
    until_step(page, 200)
    assert psnr(image(page), before) < OTHER_DB
    assert page.evaluate("gsEsdViewer.camera()") == camera


def test_the_last_of_many_snapshots_is_what_stays(page: Page, browser: Browser, run: Path) -> None:
    for draw in range(1, 8):
        snapshot(run, draw, step=100 * draw, n=30 + draw)
        time.sleep(0.1)
    until_step(page, 700)
    last = image(page)
    assert psnr(last, drawn(browser, run / "live.ply")) > 60


def test_the_old_splat_is_seen_until_the_new_one_is_ready(page: Page, run: Path) -> None:
    lit = "gsEsdViewer.counts().draws"
    before = page.evaluate(lit)
    darkest = """(async () => {
        const canvas = document.getElementById("image");
        const sheet = new OffscreenCanvas(60, 45).getContext("2d", { willReadFrequently: true });
        let least = Infinity;
        for (const start = performance.now(); performance.now() - start < 3000;) {
            await new Promise(requestAnimationFrame);
            sheet.drawImage(canvas, 0, 0, 60, 45);
            least = Math.min(least, sheet.getImageData(0, 0, 60, 45).data.reduce((a, b) => a + b));
        }
        return least - 60 * 45 * 255;
    })()"""
    snapshot(run, draw=3, step=300)
    assert page.evaluate(darkest) > 0.3 * 255 * 3 * image(page).sum() / 16 / 3
    assert page.evaluate(lit) > before


def test_a_pause_holds_the_image(page: Page, run: Path) -> None:
    press(page, " ")
    assert "Paused" in text(page, "#live")
    before = image(page)
    snapshot(run, draw=2, step=200)
    until_step(page, 200)
    assert (image(page) == before).all()
    page.evaluate("document.getElementById('pause').click()")
    until(page, "document.getElementById('live-text').innerText.startsWith('Live')")
    settle(page)
    assert psnr(image(page), before) < OTHER_DB


def test_a_finished_run_loses_its_counter(page: Page, run: Path) -> None:
    write_ply(run / "splats.ply", 40, 1, 5, prompt="a corgi")
    (run / "live.ply").unlink()
    until(page, "!document.getElementById('live-text').innerText.includes('step')")


def test_broken_file_shows_a_problem_until_it_is_complete(page: Page, run: Path) -> None:
    (run / "next.ply").write_bytes(b"ply\nnonsense")
    (run / "next.ply").replace(run / "live.ply")
    until(page, "document.querySelector('.cell-state.problem')?.innerText.length > 10")
    snapshot(run, draw=2, step=400)
    until_step(page, 400)
    until(page, "!document.querySelector('.cell-state').innerText")
    assert image(page).max() > 0.2


def test_new_runs_join_the_grid(browser: Browser, tmp_path: Path) -> None:
    first = write_run(tmp_path / "lam0", lam=0.0)
    write_ply(first / "splats.ply", 20, prompt="a corgi", lambda_esd=0.0)
    with serving([tmp_path], page_files()) as server, shown(browser, server, *SIZE) as page:
        second = write_run(tmp_path / "lam1", lam=1.0)
        write_ply(second / "splats.ply", 20, draw=1, prompt="a corgi", lambda_esd=1.0)
        until(page, "document.querySelectorAll('.cell').length === 2")
        settle(page)


def test_lost_connection_shows_a_message_and_reconnects(browser: Browser, run: Path) -> None:
    with serving([run], page_files()) as server:
        page = new_page(browser, *SIZE)
        page.goto(f"http://127.0.0.1:{server.port}/")
        wait_ready(page)
        port = server.port
    until(page, "document.getElementById('messages').innerText.includes('connection')")
    assert image(page).std() > 0.01
    with serving([run], page_files(), port=port):
        until(page, "!document.getElementById('messages').innerText")
        snapshot(run, draw=4, step=500)
        until_step(page, 500)
    page.context.close()


@pytest.mark.slow
def test_memory_is_flat_over_50_reloads(page: Page, run: Path) -> None:
    held, heaps = [], []
    devtools = page.context.new_cdp_session(page)
    for step in range(200, 62 * 100 + 1, 100):
        snapshot(run, draw=step, step=step, n=4000)
        shown_step = f"{step:,}"
        until(
            page, f"document.getElementById('live-text').innerText.includes('step {shown_step} of')"
        )
        settle(page)
        counts = page.evaluate("gsEsdViewer.counts()")
        held.append({name: counts[name] for name in ("geometries", "textures", "programs")})
        devtools.send("HeapProfiler.collectGarbage")
        usage = devtools.send("Runtime.getHeapUsage")
        heaps.append(usage["usedSize"] + usage["backingStorageSize"])
    assert held[-1] == held[10]
    assert np.median(heaps[-5:]) < np.median(heaps[8:13]) + 2e6
