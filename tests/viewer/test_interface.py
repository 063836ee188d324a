"""User input on the page: by mouse, by keys alone, on a small screen, without motion."""

from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page

from tests.helpers.shown_splats import Running, serving, write_ply
from tests.helpers.viewer_pages import (
    drag,
    image,
    new_page,
    press,
    settle,
    shown,
    text,
    until,
)
from viewer.page import page_files

PROMPT = "<img src=x onerror='document.title=1'> a corgi"
ACTIVE = "document.activeElement"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("splats")
    path = write_ply(folder / "a.ply", 20, 1, prompt=PROMPT, lambda_esd=0.5, seed=3)
    with serving([path], page_files()) as server:
        yield server


@pytest.fixture
def page(browser: Browser, running: Running) -> Iterator[Page]:
    with shown(browser, running, 400, 300, reduced_motion="reduce") as page:
        yield page


def camera(page: Page) -> np.ndarray:
    """Position and target."""
    pose = page.evaluate("gsEsdViewer.camera()")
    return np.array([pose["position"], pose["target"]])


def distance(page: Page) -> float:
    position, target = camera(page)
    return float(np.linalg.norm(position - target))


def test_dragging_turns_about_the_target(page: Page) -> None:
    before, far = camera(page), distance(page)
    drag(page, (200, 150), (260, 150))
    settle(page)
    after = camera(page)
    assert np.allclose(before[1], after[1])
    assert np.linalg.norm(before[0] - after[0]) > 0.1 * far
    assert abs(distance(page) - far) < 1e-3 * far


def test_the_wheel_zooms(page: Page) -> None:
    far = distance(page)
    page.mouse.move(200, 150)
    page.mouse.wheel(0, -200)
    settle(page)
    until(page, f"Math.hypot(...gsEsdViewer.camera().position) < {0.999 * far}")


@pytest.mark.parametrize("key", ["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"])
def test_arrows_turn_and_with_shift_move(page: Page, key: str) -> None:
    before, far = camera(page), distance(page)
    press(page, key)
    turned = camera(page)
    assert np.allclose(turned[1], before[1])
    assert 0.05 * far < np.linalg.norm(turned[0] - before[0]) < 0.2 * far
    press(page, key, shift=True)
    moved = camera(page)
    assert np.allclose(moved[0] - turned[0], moved[1] - turned[1])
    assert np.linalg.norm(moved[1] - turned[1]) > 0.01 * far


def test_keys_zoom_and_reset(page: Page) -> None:
    before = camera(page)
    press(page, "+")
    assert distance(page) < np.linalg.norm(before[0] - before[1])
    press(page, "ArrowLeft")
    press(page, "f")
    assert np.isclose(distance(page), np.linalg.norm(before[0] - before[1]), rtol=1e-3)
    assert not np.allclose(camera(page), before, atol=1e-3)
    press(page, "r")
    assert np.allclose(camera(page), before, atol=1e-6)


def test_the_poles_are_not_crossed(page: Page) -> None:
    for _ in range(40):
        press(page, "ArrowUp")
    position, target = camera(page)
    across = np.linalg.norm((position - target)[[0, 2]])
    assert 0 < across < 0.05 * distance(page)


def test_tab_key_reaches_all_controls_with_visible_focus(page: Page) -> None:
    press(page, "s")
    wanted = page.evaluate(
        "[...document.querySelectorAll('canvas[tabindex], button, select, input')]"
        ".filter((each) => each.checkVisibility() && each.closest('dialog') === null)"
        ".filter((each) => each.type !== 'radio' || each.checked)"
        ".map((each) => each.id || each.value)"
    )
    assert {"image", "reset", "help-button", "scale", "up", "open"} <= set(wanted)
    reached = []
    for _ in range(len(wanted) + 1):
        press(page, "Tab")
        if page.evaluate(f"{ACTIVE} === document.body"):
            continue  # the browser's own controls come next, and then the first again
        reached.append(page.evaluate(f"{ACTIVE}.id || {ACTIVE}.value"))
        marked = f"[{ACTIVE}, {ACTIVE}.nextElementSibling, {ACTIVE}.parentElement]"
        outlined = f"{marked}.some((e) => e && getComputedStyle(e).outlineStyle === 'solid')"
        assert page.evaluate(outlined), reached[-1]
    assert sorted(reached) == sorted(wanted)


def test_controls_have_names(page: Page) -> None:
    press(page, "s")
    nodes = page.context.new_cdp_session(page).send("Accessibility.getFullAXTree")["nodes"]
    roles = ("button", "slider", "combobox", "checkbox", "radio", "application", "ColorWell")
    controls = [node for node in nodes if node.get("role", {}).get("value") in roles]
    assert len(controls) > 12
    nameless = [node["role"] for node in controls if not node.get("name", {}).get("value")]
    assert nameless == []


def test_help_opens_and_closes_by_keys(page: Page) -> None:
    press(page, "?")
    assert page.evaluate("document.getElementById('help').open")
    press(page, "Escape")
    assert not page.evaluate("document.getElementById('help').open")


def test_the_settings_can_be_changed_without_a_mouse(page: Page) -> None:
    press(page, "s")
    page.evaluate("document.querySelector('[name=mode]:checked').focus()")
    press(page, "ArrowRight")
    assert page.evaluate("document.querySelector('[name=mode]:checked').value") == "opaque"
    page.evaluate("document.getElementById('scale').focus()")
    before = camera(page)
    press(page, "ArrowRight")
    assert text(page, "#scale-output") == "1.05"
    assert np.array_equal(camera(page), before)
    press(page, "Escape")
    assert text(page, "#settings") == ""
    assert page.evaluate(f"{ACTIVE}.id") == "settings-button"


def test_keys_choose_how_it_looks(page: Page) -> None:
    press(page, "m")
    press(page, "]")
    press(page, "b")
    assert page.evaluate("document.querySelector('[name=mode]:checked').value") == "opaque"
    assert text(page, "#scale-output") in ("1.10", "")
    assert page.evaluate("document.getElementById('background').value") == "black"
    assert (image(page)[0, 0] == 0).all()


def test_degrees_that_no_splat_has_are_not_offered(page: Page) -> None:
    press(page, "s")
    offered = "[...document.querySelectorAll('[name=degree]')].filter((e) => e.checkVisibility())"
    assert page.evaluate(f"{offered}.map((each) => each.value)") == ["0", "1"]


def test_info_panel_shows_metadata_as_text(page: Page) -> None:
    press(page, "i")
    info = text(page, "#info")
    for fact in (PROMPT, "0.5", "Seed", "20", "a.ply", "kB", "y-down"):
        assert fact in info
    assert page.evaluate("document.querySelector('img')") is None


def test_the_address_keeps_the_camera(page: Page, browser: Browser, running: Running) -> None:
    first = page.evaluate("location.hash")
    press(page, "ArrowLeft")
    until(page, f"!['', '{first}'].includes(location.hash)")
    address, before = page.evaluate("location.hash"), camera(page)
    press(page, "r")
    until(page, f"location.hash !== '{address}'")
    page.evaluate(f"location.hash = '{address}'")
    until(page, f"Math.abs(gsEsdViewer.camera().position[0] - {before[0][0]}) < 1e-3")
    with shown(browser, running, 200, 150, f"/{address}") as other:
        assert np.allclose(camera(other), before, atol=1e-3)


def test_addresses_that_make_no_sense_are_ignored(page: Page) -> None:
    before = camera(page)
    for wrong in ("camera=1,2,3", "camera=a,b,c,d,e,f,g", "camera=0,0,0,0,0,0,40", "x"):
        page.evaluate(f"location.hash = '{wrong}'")
        page.evaluate("new Promise((resolve) => setTimeout(resolve, 30))")
        assert np.array_equal(camera(page), before)


def test_turntable_is_off_with_reduced_motion(page: Page) -> None:
    before = camera(page)
    page.wait_for_timeout(300)
    assert np.array_equal(camera(page), before)
    press(page, "t")
    until(page, f"Math.abs(gsEsdViewer.camera().position[0] - {before[0][0]}) > 0.01")
    assert page.evaluate("document.getElementById('turntable').ariaPressed") == "true"
    press(page, "t")
    stopped = camera(page)
    page.wait_for_timeout(300)
    assert np.allclose(camera(page), stopped, atol=1e-9)


def test_images_and_turns_are_saved(page: Page) -> None:
    press(page, "s")
    page.evaluate("document.getElementById('transparent').click()")
    with page.expect_download() as download:
        press(page, "p")
    assert download.value.suggested_filename.endswith(".png")
    saved = download.value.path()
    assert Image.open(saved).size == (400, 300)
    assert Image.open(saved).getchannel("A").getextrema() != (255, 255)
    page.evaluate("document.getElementById('turn-seconds').value = 3")
    page.evaluate("document.getElementById('turn-seconds').dispatchEvent(new Event('input'))")
    with page.expect_download() as download:
        page.evaluate("document.getElementById('record').click()")
    assert download.value.suggested_filename.endswith(".webm")
    video = download.value.path()
    assert video.read_bytes().startswith(b"\x1a\x45\xdf\xa3")
    assert video.stat().st_size > 3000
    assert page.evaluate("document.getElementById('turntable').ariaPressed") == "false"


def test_a_small_screen_has_room_for_everything(browser: Browser, running: Running) -> None:
    with shown(browser, running, 360, 640) as page:
        for key in ("s", "i"):
            press(page, key)
            assert page.evaluate("document.documentElement.scrollWidth") <= 360
            outside = (
                "[...document.querySelectorAll('button, .panel')]"
                ".filter((e) => e.checkVisibility())"
                ".map((e) => e.getBoundingClientRect()).filter((r) => r.left < 0 || r.right > 360"
                " || r.top < 0 || (r.bottom > 640)).length"
            )
            assert page.evaluate(outside) == 0


def test_message_without_webgl(browser: Browser, running: Running) -> None:
    page = new_page(browser, 300, 200)
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    page.goto(f"http://127.0.0.1:{running.port}/")
    assert "WebGL 2" in text(page, "#messages")
    page.context.close()
