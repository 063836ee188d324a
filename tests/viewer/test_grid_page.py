"""Several splats on one page: side by side under one camera, one alone, two with a divider."""

import json
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, Page

from gs_esd.export.ply import load_splats, save_splats
from gs_esd.splats.parameters import SH_Y0
from tests.helpers.shown_splats import Running, serving, write_run
from tests.helpers.splat_files import colorful_splats
from tests.helpers.viewer_pages import (
    drag,
    image,
    look,
    options,
    press,
    psnr,
    rendered,
    settle,
    shown,
    text,
    until,
)
from viewer.page import page_files

COLORS = {
    (0.0, 0): (1.0, 0, 0),
    (0.0, 1): (0, 1.0, 0),
    (1.0, 0): (0, 0, 1.0),
    (1.0, 1): (1.0, 1, 0),
}
"""By λ, the rows or columns, and seed."""
WIDTH, HEIGHT = 520, 420
BOXES = """[...document.querySelectorAll('.cell')].map((each) => {
    const { left, top, width, height } = each.getBoundingClientRect();
    return [left, top, width, height].map(Math.round); })"""


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs whose splats are a ball each, in a colour that tells which."""
    folder = tmp_path_factory.mktemp("sweep")
    for (lam, seed), color in COLORS.items():
        run = write_run(folder / f"lam{lam}-seed{seed}", lam=lam, seed=seed)
        splats = colorful_splats(30, 0, seed)
        splats["scales"].data[:] = math.log(0.3)
        splats["opacities"].data[:] = 6
        splats["sh0"].data[:] = (torch.tensor(color) - 0.5) / SH_Y0
        save_splats(splats, run / "splats.ply")
    return folder


@pytest.fixture(scope="module")
def running(sweep: Path) -> Iterator[Running]:
    with serving([sweep], page_files()) as server:
        yield server


@pytest.fixture(scope="module")
def module_page(browser: Browser, running: Running) -> Iterator[Page]:
    """One for all tests, because a page takes a second to load."""
    with shown(browser, running, WIDTH, HEIGHT) as page:
        yield page


@pytest.fixture
def page(module_page: Page) -> Page:
    """All cells, over black."""
    for _ in range(2):
        press(module_page, "Escape")
    options(module_page, background="black")
    look(module_page, (0, 0, 4))
    settle(module_page)
    return module_page


def color_at(pixels: np.ndarray, x: float, y: float) -> tuple[float, ...]:
    """0 or 1 a channel."""
    return tuple(pixels[int(y), int(x)].round().tolist())


def centres(page: Page) -> dict[str, tuple[float, float]]:
    """Of the cells, by their names."""
    names = page.evaluate("[...document.querySelectorAll('.cell-name')].map((e) => e.innerText)")
    boxes = page.evaluate(BOXES)
    return {
        name: (left + width / 2, top + height / 2)
        for name, (left, top, width, height) in zip(names, boxes, strict=True)
    }


def color_of(running: Running, name: str) -> tuple[float, float, float]:
    """The colour of the run that the server gave this name."""
    cells = running.watch.scene.as_json(live=True)["cells"]
    (cell,) = [cell for cell in cells if cell["label"] == name]
    return COLORS[cell["lambda_esd"], cell["seed"]]


def test_each_cell_shows_its_own_splat_under_its_name(page: Page, running: Running) -> None:
    pixels = image(page)
    found = centres(page)
    assert len(found) == 4
    for name, place in found.items():
        assert color_at(pixels, *place) == color_of(running, name)


def test_rows_and_columns_have_names(page: Page, running: Running) -> None:
    scene = running.watch.scene.as_json(live=True)
    for kind, names in (("row", scene["rows"]), ("column", scene["columns"])):
        labels = page.evaluate(
            f"[...document.querySelectorAll('.{kind}-name')].map((each) => each.innerText)"
        )
        assert len(labels) == 2
        assert labels == [*names]
    left = [box[0] for box in page.evaluate(BOXES)]
    assert left[0] == left[2] < left[1] == left[3]


def test_a_cell_is_drawn_as_it_would_be_alone(page: Page, sweep: Path) -> None:
    left, top, width, height = page.evaluate(BOXES)[0]
    pixels = image(page)[top : top + height, left : left + width]
    rgb, _ = rendered(load_splats(sweep / "lam0.0-seed0" / "splats.ply"), (0, 0, 4), width, height)
    assert psnr(pixels, rgb) >= 40


def test_splats_stay_in_their_boxes_where_bars_come_and_go(page: Page, sweep: Path) -> None:
    before = json.dumps(page.evaluate(BOXES), separators=(",", ":"))
    options(page, ui=False)
    until(page, f"JSON.stringify({BOXES}) !== '{before}'")
    left, top, width, height = page.evaluate(BOXES)[2]
    pixels = image(page)[top : top + height, left : left + width]
    options(page, ui=True)
    rgb, _ = rendered(load_splats(sweep / "lam1.0-seed0" / "splats.ply"), (0, 0, 4), width, height)
    assert psnr(pixels, rgb) >= 40


def test_cells_turn_together(page: Page) -> None:
    before = image(page)
    look(page, (4, 0, 0))
    after = image(page)
    for left, top, width, height in page.evaluate(BOXES):
        cut = np.s_[top : top + height, left : left + width]
        assert psnr(before[cut], after[cut]) < 40


def test_a_click_shows_a_cell_alone_and_escape_all(page: Page, running: Running) -> None:
    name, place = list(centres(page).items())[2]
    page.mouse.click(*place)
    assert color_at(image(page), WIDTH / 2, HEIGHT / 2) == color_of(running, name)
    assert name in text(page, "#title")
    press(page, "Escape")
    assert len(centres(page)) == 4


def test_a_drag_shows_no_cell_alone(page: Page) -> None:
    x, y = next(iter(centres(page).values()))
    drag(page, (x, y), (x + 40, y))
    assert len(centres(page)) == 4


def test_enter_shows_a_cell_alone(page: Page, running: Running) -> None:
    names = list(centres(page))
    page.evaluate("document.querySelector('.cell-name').focus()")
    press(page, "Tab")
    press(page, "Enter")
    assert color_at(image(page), WIDTH / 2, HEIGHT / 2) == color_of(running, names[1])
    page.evaluate("document.getElementById('all').click()")
    assert len(centres(page)) == 4


def test_two_cells_are_compared_by_keys(page: Page, running: Running) -> None:
    names = list(centres(page))
    press(page, "w")
    assert page.evaluate("document.activeElement.id") == "divider"
    pixels = image(page)
    sides = [color_at(pixels, WIDTH / 2 + x, HEIGHT / 2) for x in (-10, 10)]
    assert sides == [color_of(running, name) for name in names[:2]]
    press(page, "ArrowRight")
    press(page, "ArrowRight")
    assert color_at(image(page), WIDTH / 2 + 10, HEIGHT / 2) == sides[0]
    assert page.evaluate("document.activeElement.ariaValueNow") == "54"
    press(page, "Home")
    assert color_at(image(page), WIDTH / 2 - 10, HEIGHT / 2) == sides[1]
    press(page, "w")
    press(page, "Escape")
    assert len(centres(page)) == 4


def test_the_divider_is_dragged_and_cells_are_chosen(page: Page, running: Running) -> None:
    names = list(centres(page))
    page.evaluate("document.getElementById('wipe').click()")
    page.select_option("#wipe-b", index=3)
    at = WIDTH * float(page.evaluate("document.getElementById('divider').ariaValueNow")) / 100
    drag(page, (at, 300), (WIDTH / 2 - 20, 300))
    pixels = image(page)
    sides = [color_at(pixels, WIDTH / 2 + x, HEIGHT / 2) for x in (-30, -10)]
    assert sides == [color_of(running, names[0]), color_of(running, names[3])]
    page.evaluate("document.getElementById('wipe-close').click()")
    assert len(centres(page)) == 4


def test_a_small_screen_shows_all_cells(browser: Browser, running: Running) -> None:
    with shown(browser, running, 360, 640) as small:
        boxes = small.evaluate(BOXES)
        assert small.evaluate("document.documentElement.scrollWidth") <= 360
        assert len(boxes) == 4
        for left, top, width, height in boxes:
            assert left >= 0
            assert left + width <= 360
            assert top >= 0
            assert top + height <= 640
            assert min(width, height) > 100


def test_a_narrow_window_has_cells_in_other_columns(page: Page) -> None:
    page.set_viewport_size({"width": 150, "height": 500})
    until(page, "document.getElementById('cells').className === 'flow'")
    assert len({box[0] for box in page.evaluate(BOXES)}) == 1
    page.set_viewport_size({"width": WIDTH, "height": HEIGHT})
    until(page, "document.getElementById('cells').className === 'table'")


def test_cell_without_splats_shows_the_reason(
    browser: Browser, sweep: Path, tmp_path: Path
) -> None:
    run = write_run(tmp_path / "young", finished=False)
    ply = sweep / "lam0.0-seed0" / "splats.ply"
    with serving([run, ply], page_files()) as server, shown(browser, server, 300, 200) as page:
        assert "no image yet" in text(page, "#cells")
        assert image(page).std() > 0.01
