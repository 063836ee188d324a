"""The page with its splats in one file: the same image from file://, and nothing asked for."""

from pathlib import Path

from gs_esd.export.compressed_ply import save_compressed_ply
from gs_esd.export.ply import load_splats, save_splats
from tests.helpers.shown_splats import write_run
from tests.helpers.splat_files import colorful_splats
from tests.helpers.viewer_pages import (
    image,
    look,
    needs_chromium,
    options,
    press,
    psnr,
    rendered,
    until,
)
from viewer.answers import page_files
from viewer.chromium import Chromium, Page
from viewer.single_file import write_single_file
from viewer.watch import Watch

pytestmark = needs_chromium

SIZE = (240, 180)
POSITION = (0.3, 0.5, 2.5)


def open_file(browser: Chromium, splats: list[Path], path: Path) -> Page:
    write_single_file(Watch(splats), page_files(), path)
    page = browser.open_page(*SIZE)
    page.go(path.as_uri())
    page.evaluate("gsEsdViewer.ready")
    return page


def test_one_file_is_the_whole_page(browser: Chromium, tmp_path: Path) -> None:
    save_splats(colorful_splats(200, 3), tmp_path / "a.ply")
    page = open_file(browser, [tmp_path / "a.ply"], tmp_path / "a.html")
    options(page, background="black")
    look(page, POSITION)
    rgb, _ = rendered(load_splats(tmp_path / "a.ply"), POSITION, *SIZE)
    assert psnr(image(page), rgb) >= 50
    until(page, "location.hash.startsWith('#camera=0.3,0.5,2.5')")
    press(page, "ArrowLeft")
    until(page, "!location.hash.startsWith('#camera=0.3,0.5,2.5')")
    assert page.errors() == []
    foreign = [a for a in page.requests() if not a.startswith(("file://", "data:", "blob:"))]
    assert foreign == []
    files = [each for each in page.requests() if each.startswith("file://")]
    assert len(files) == 1


def test_one_file_holds_a_whole_sweep(browser: Chromium, tmp_path: Path) -> None:
    for lam in (0.0, 1.0):
        run = write_run(tmp_path / f"lam{lam}", lam=lam)
        save_splats(colorful_splats(20, 1, int(lam)), run / "splats.ply")
    save_compressed_ply(colorful_splats(20, 1), tmp_path / "c.compressed.ply")
    splats = [tmp_path / "lam0.0", tmp_path / "lam1.0", tmp_path / "c.compressed.ply"]
    page = open_file(browser, splats, tmp_path / "sweep.html")
    assert page.evaluate("document.querySelectorAll('.cell').length") == 3
    assert not page.evaluate("document.querySelector('.problem')")
    assert page.errors() == []
