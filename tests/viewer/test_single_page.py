"""The page with its splats in one file: the same image from file://, without requests."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Page

from gs_esd.export.compressed_ply import save_compressed_ply
from gs_esd.export.ply import load_splats, save_splats
from tests.helpers.shown_splats import write_run
from tests.helpers.splat_files import colorful_splats
from tests.helpers.viewer_pages import (
    PageLog,
    image,
    look,
    new_page,
    options,
    press,
    psnr,
    rendered,
    until,
    wait_ready,
)
from viewer.page import page_files
from viewer.scene.watch import Watch
from viewer.single_file import write_single_file

SIZE = (240, 180)
POSITION = (0.3, 0.5, 2.5)


@contextmanager
def single_page(browser: Browser, splats: list[Path], path: Path) -> Iterator[Page]:
    """The page from a file, ready; nothing may go wrong with it nor be requested."""
    write_single_file(Watch(splats), page_files(), path)
    page = new_page(browser, *SIZE)
    log = PageLog(page)
    page.goto(path.as_uri())
    wait_ready(page)
    yield page
    assert log.errors() == []
    requests = log.requests()
    assert [each for each in requests if not each.startswith(("data:", "blob:"))] == [path.as_uri()]
    page.context.close()


def test_one_file_is_the_whole_page(browser: Browser, tmp_path: Path) -> None:
    save_splats(colorful_splats(200, 3), tmp_path / "a.ply")
    with single_page(browser, [tmp_path / "a.ply"], tmp_path / "a.html") as page:
        options(page, background="black")
        look(page, POSITION)
        rgb, _ = rendered(load_splats(tmp_path / "a.ply"), POSITION, *SIZE)
        assert psnr(image(page), rgb) >= 50
        until(page, "location.hash.startsWith('#camera=0.3,0.5,2.5')")
        press(page, "ArrowLeft")
        until(page, "!location.hash.startsWith('#camera=0.3,0.5,2.5')")


def test_one_file_holds_a_whole_sweep(browser: Browser, tmp_path: Path) -> None:
    for lam in (0.0, 1.0):
        run = write_run(tmp_path / f"lam{lam}", lam=lam)
        save_splats(colorful_splats(20, 1, int(lam)), run / "splats.ply")
    save_compressed_ply(colorful_splats(20, 1), tmp_path / "c.compressed.ply")
    splats = [tmp_path / "lam0.0", tmp_path / "lam1.0", tmp_path / "c.compressed.ply"]
    with single_page(browser, splats, tmp_path / "sweep.html") as page:
        assert page.evaluate("document.querySelectorAll('.cell').length") == 3
        assert not page.evaluate("document.querySelector('.problem')")
