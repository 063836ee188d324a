"""The viewer's pages beside a sweep's report."""

import base64
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from gs_esd.errors import UserError
from gs_esd.report import viewer_page
from gs_esd.report.command import write_report
from gs_esd.report.viewer_page import batches
from gs_esd.run.records import find_runs
from tests.helpers.shown_splats import small_page, write_ply, write_run
from tests.helpers.viewer_pages import PageLog, new_page, until, wait_ready


@pytest.fixture
def sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    files = small_page(tmp_path / "static")
    monkeypatch.setattr(viewer_page, "page_files", lambda: files)
    (tmp_path / "sweep").mkdir()
    return tmp_path / "sweep"


def make_run(sweep: Path, prompt: str = "a corgi", lam: float = 1.0, seed: int = 0) -> Path:
    name = f"{prompt}/lam{lam}-seed{seed}"
    draw = len(list(sweep.rglob("splats.ply")))
    return write_ply(write_run(sweep / name, prompt, lam, seed) / "splats.ply", draw=draw).parent


def report(sweep: Path) -> str:
    return write_report(sweep, None).read_text(encoding="utf-8")


def links(source: str) -> list[str]:
    return re.findall(r'<a href="([^"]*)"', source)


def cells(page: Path) -> dict[int, dict[str, Any]]:
    """The cells that a page holds, by their numbers."""
    text = page.read_text(encoding="utf-8").partition('id="scene">')[2].partition("</script>")[0]
    return {cell["id"]: cell for cell in json.loads(text)["cells"]}


def test_cards_link_to_their_splats(sweep: Path) -> None:
    for lam, seed in ((0.0, 1), (1.0, 0), (0.0, 0)):
        make_run(sweep, lam=lam, seed=seed)
    source = report(sweep)
    shown = cells(sweep / "report_viewer.html")
    assert len(shown) == 3
    for run in find_runs(sweep):
        article = source.partition(f'id="{run.key}"')[2].partition("</article>")[0]
        (page, number), *_ = re.findall(r'href="(report_viewer\.html)#cell=(\d+)"', article)
        cell = shown[int(number)]
        assert base64.b64decode(cell["data"]) == (run.path / "splats.ply").read_bytes()
        assert (cell["lambda_esd"], cell["seed"]) == (run.lambda_esd, run.seed)
        assert page in links(source)


def test_links_of_unusable_splats(sweep: Path) -> None:
    make_run(sweep)
    (make_run(sweep, seed=1) / "splats.ply").write_bytes(b"ply")
    (make_run(sweep, seed=2) / "splats.ply").unlink()
    write_ply(write_run(sweep / "unfinished", seed=3, finished=False) / "live.ply")
    found = [link for link in links(report(sweep)) if "#cell=" in link]
    assert found == ["report_viewer.html#cell=0"]
    assert [cell["seed"] for cell in cells(sweep / "report_viewer.html").values()] == [0, 1]


def test_no_page_without_splats(sweep: Path) -> None:
    write_run(sweep / "unfinished", finished=False)
    assert "In 3D" not in report(sweep)
    assert not (sweep / "report_viewer.html").exists()


def test_several_pages_and_stale_pages(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for prompt in ("a corgi", "a pig"):
        for seed in range(2):
            make_run(sweep, prompt, seed=seed)
    monkeypatch.setattr(viewer_page, "MAX_CELLS", 3)
    source = report(sweep)
    assert {"report_viewer.html", "report_viewer_2.html"} <= set(links(source))
    assert "report_viewer_2.html#cell=1" in links(source)
    assert {cell["prompt"] for cell in cells(sweep / "report_viewer_2.html").values()} == {"a pig"}
    monkeypatch.setattr(viewer_page, "MAX_CELLS", 64)
    assert "report_viewer_2" not in report(sweep)
    assert not (sweep / "report_viewer_2.html").exists()


@pytest.mark.parametrize(
    ("counts", "most", "expected"),
    [
        ([2, 2, 2], 6, [6]),
        ([2, 2, 2], 5, [4, 2]),
        ([3, 3], 4, [3, 3]),
        ([1, 5, 1], 4, [4, 3]),
        ([9], 4, [4, 4, 1]),
    ],
)
def test_batches_keep_prompts_together(
    sweep: Path,
    counts: Sequence[int],
    most: int,
    expected: Sequence[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for number, count in enumerate(counts):
        for seed in range(count):
            make_run(sweep, f"prompt {number}", seed=seed)
    runs = find_runs(sweep)
    bytes_each = (runs[0].path / "splats.ply").stat().st_size
    for limit, value in (("MAX_CELLS", most), ("MAX_PAGE_BYTES", most * bytes_each)):
        with monkeypatch.context() as patch:
            patch.setattr(viewer_page, limit, value)
            made = list(batches(runs))
        assert [len(batch) for batch in made] == expected
        assert [run for batch in made for run in batch] == runs


def test_report_without_viewer_page(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise UserError("the page is not <built>")

    make_run(sweep)
    monkeypatch.setattr(viewer_page, "page_files", missing)
    source = report(sweep)
    assert "Not in 3D: the page is not &lt;built&gt;" in source
    assert "#cell=" not in source
    with pytest.raises(UserError, match="not <built>"):
        write_report(sweep, None, shot=True)


def test_shot_image(sweep: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def take(watch: object, files: object, path: Path, size: tuple[int, int]) -> None:
        sizes.append(size)
        path.touch()

    for seed in range(3):
        for lam in (0.0, 1.0):
            make_run(sweep, lam=lam, seed=seed)
    monkeypatch.setattr(viewer_page, "write_shot", take)
    assert "report_viewer.png" not in report(sweep)
    assert "report_viewer.png" in links(write_report(sweep, None, shot=True).read_text())
    assert sizes == [(720, 480)]


def test_browser_opens_linked_splat(tmp_path: Path, browser: Browser) -> None:
    for seed in range(3):
        make_run(tmp_path, seed=seed)
    source = report(tmp_path)
    (link,) = (link for link in links(source) if link.endswith("#cell=1"))
    page = new_page(browser, 320, 240)
    log = PageLog(page)
    page.goto(f"{tmp_path.as_uri()}/report.html")
    page.goto(f"{tmp_path.as_uri()}/{link}")
    wait_ready(page)
    assert page.title() == "a corgi · seed 1 – gs-esd"
    page.evaluate("document.getElementById('all').click()")
    assert page.title() == "a corgi – gs-esd"
    page.evaluate("location.hash = '#cell=2'")
    until(page, "document.title === 'a corgi · seed 2 – gs-esd'")
    assert log.errors() == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in log.requests())
    page.context.close()
