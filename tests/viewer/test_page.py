"""The page's image: the rasterizer's, to the colour and the pixel, and drawn when it must be."""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, Page
from torch.nn import ParameterDict

from gs_esd.export.frames import FileAxes
from gs_esd.export.ply import load_splats, save_splats
from gs_esd.splats.parameters import SH_Y0
from tests.helpers.splat_files import colorful_splats
from tests.helpers.viewer_pages import (
    image,
    look,
    opened,
    options,
    press,
    psnr,
    rendered,
    settle,
)

GAUSSIANS = 5000
FRONT, BACK = (0.2, 0.6, 2.6), (-0.3, -0.4, -2.4)
SIZE = (640, 480)
SMALL = (160, 120)
BAR_DB = 50.0


def fluffy_splats(n: int, sh_degree: int, seed: int = 0) -> ParameterDict:
    """Gaussians of all shapes, directions, opacities, and colours that go beyond white."""
    splats = colorful_splats(n, sh_degree, seed)
    generator = torch.Generator().manual_seed(seed)
    splats["quats"].data = torch.randn(n, 4, generator=generator)
    splats["scales"].data = math.log(0.3 * n ** (-1 / 3)) + 0.4 * torch.randn(
        n, 3, generator=generator
    )
    return splats


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("large") / "large.ply"
    save_splats(fluffy_splats(GAUSSIANS, sh_degree=3), path)
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "small.ply"
    save_splats(fluffy_splats(60, sh_degree=3), path)
    return path


@pytest.fixture(scope="module")
def small_page(browser: Browser, small: Path) -> Iterator[Page]:
    """One for all tests, because a page takes a second to load."""
    with opened(browser, [small], *SMALL) as page:
        yield page


@pytest.fixture
def page(small_page: Page) -> Page:
    """The page of the small splats as it is at first, over black."""
    options(small_page, background="black", mode="splats", splatScale=1, shDegree=3, up="file")
    look(small_page, FRONT)
    return small_page


def test_images_are_the_rasterizers(browser: Browser, large: Path) -> None:
    with opened(browser, [large], *SIZE) as page:
        for position in (FRONT, BACK):
            rgb, alpha = rendered(load_splats(large), position, *SIZE)
            look(page, position)
            for background, white in (("black", 0.0), ("white", 1.0)):
                options(page, background=background)
                assert psnr(image(page), rgb + white * (1 - alpha)) >= BAR_DB


def test_colours_are_those_of_the_file(browser: Browser, tmp_path: Path) -> None:
    colors = torch.tensor([[51, 127, 204], [204, 51, 51], [25, 153, 229], [128, 128, 128]]) / 255
    places = torch.tensor([[0.0, -0.4, 0.4], [0, 0.4, 0.4], [0, -0.4, -0.4], [0, 0.4, -0.4]])
    splats = colorful_splats(4, sh_degree=0)
    splats["means"].data = places
    splats["sh0"].data = ((colors - 0.5) / SH_Y0)[:, None]
    splats["scales"].data[:] = math.log(0.15)
    splats["opacities"].data[:] = 12
    save_splats(splats, tmp_path / "patches.ply")
    with opened(browser, [tmp_path / "patches.ply"], *SMALL) as page:
        look(page, (0, 0, 2.4))
        shown = image(page)
        focal = 0.5 * SMALL[1] / math.tan(math.radians(45) / 2)
        for (_, right, up), color in zip(places.tolist(), colors.numpy(), strict=True):
            x, y = (SMALL[0] / 2 + focal * right / 2.4, SMALL[1] / 2 - focal * up / 2.4)
            assert np.abs(shown[int(y), int(x)] - color).max() <= 2 / 255


def test_backgrounds_are_exact(page: Page) -> None:
    colors = {"black": 0, "white": 255, "grey": 128, "#336699": (51, 102, 153)}
    look(page, (0, 0, 50))
    for background, color in colors.items():
        options(page, background=background)
        assert (image(page)[0, 0] * 255 == color).all(), background


def test_system_background_is_light_or_dark(page: Page) -> None:
    options(page, background="system")
    corners = []
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        page.emulate_media(color_scheme=scheme)
        page.evaluate("new Promise(requestAnimationFrame).then(() => 0)")
        corners.append(image(page)[0, 0].mean())
    assert corners[0] > 0.9
    assert corners[1] < 0.1


def test_without_a_background_there_is_alpha(page: Page, small: Path) -> None:
    options(page, background="transparent")
    shown = image(page, "RGBA")
    rgb, alpha = rendered(load_splats(small), FRONT, *SMALL)
    assert np.abs(shown[..., 3:] - alpha).max() <= 2 / 255
    most = np.minimum(rgb, alpha)  # a PNG cannot tell of more
    assert psnr(shown[..., :3] * shown[..., 3:], most) >= BAR_DB - 5


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_fewer_spherical_harmonics_are_drawn_on_demand(
    page: Page, small: Path, degree: int
) -> None:
    press(page, str(degree))
    splats = dict(load_splats(small).items())
    splats["shN"] = splats["shN"][:, : (degree + 1) ** 2 - 1]
    rgb, _ = rendered(splats, FRONT, *SMALL)
    assert psnr(image(page), rgb) >= BAR_DB


def test_splats_are_scaled_and_back(page: Page, small: Path) -> None:
    before = image(page)
    options(page, splatScale=0.5)
    splats = dict(load_splats(small).items())
    splats["scales"] = splats["scales"] + math.log(0.5)
    rgb, _ = rendered(splats, FRONT, *SMALL)
    assert psnr(image(page), rgb) >= BAR_DB
    options(page, splatScale=1)
    assert (image(page) == before).all()


def test_points_are_dots_of_the_size_that_they_have_on_the_screen(page: Page) -> None:
    options(page, mode="points")
    covered = (image(page).max(-1) > 0).mean() * SMALL[0] * SMALL[1]
    assert 60 < covered < 60 * 16
    look(page, [2 * each for each in FRONT])
    farther = (image(page).max(-1) > 0).mean() * SMALL[0] * SMALL[1]
    assert farther > 0.5 * covered


def test_ellipses_have_edges(page: Page) -> None:
    options(page, mode="opaque", background="transparent")
    alpha = image(page, "RGBA")[..., 3]
    assert np.isin(alpha, (0, 1)).all()
    assert 0.05 < alpha.mean() < 0.95


@pytest.mark.parametrize("up", list(FileAxes))
def test_files_stand_upright_whatever_their_axes(
    browser: Browser, page: Page, small: Path, tmp_path: Path, up: FileAxes
) -> None:
    upright = image(page)
    save_splats(load_splats(small), tmp_path / "turned.ply", up)
    with opened(browser, [tmp_path / "turned.ply"], *SMALL) as turned:
        options(turned, background="black")
        look(turned, FRONT)
        assert psnr(image(turned), upright) >= BAR_DB


def test_another_up_axis_turns_the_splats(page: Page) -> None:
    before = image(page)
    options(page, up="z-up")
    look(page, FRONT)
    assert psnr(image(page), before) < 30


def test_nothing_is_drawn_while_nothing_changes(page: Page) -> None:
    settle(page)
    draws = page.evaluate("gsEsdViewer.counts().draws")
    page.wait_for_timeout(400)
    assert page.evaluate("gsEsdViewer.counts().draws") == draws
    look(page, BACK)
    settle(page)
    assert 0 < page.evaluate("gsEsdViewer.counts().draws") - draws <= 3


def test_options_that_make_no_sense_are_refused(page: Page) -> None:
    for changes in ("background: 'plaid'", "shDegree: 4", "splatScale: 0", "mode: 'x'", "y: 1"):
        refused = f"try {{ gsEsdViewer.setOptions({{{changes}}}) }} catch (e) {{ e.name }}"
        assert page.evaluate(refused) == "RangeError", changes
