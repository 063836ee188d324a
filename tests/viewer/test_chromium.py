"""The browser that other tests look at pages with: what it sees, and that it says what is wrong."""

import io
from collections.abc import Iterator

import pytest
from PIL import Image

from gs_esd.errors import UserError
from viewer import chromium
from viewer.chromium import Chromium, Page, find_chromium
from viewer.devtools import DevToolsError

needs_chromium = pytest.mark.skipif(find_chromium() is None, reason="Chromium is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    with Chromium() as running:
        yield running


@pytest.fixture
def page(browser: Chromium) -> Page:
    return browser.open_page(320, 200)


@needs_chromium
def test_pages_have_the_size_and_colours_that_were_asked_for(page: Page) -> None:
    page.go("data:text/html,<body style='margin:0;background:rgb(51,127,204)'>")
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    assert image.size == (320, 200)
    assert image.getpixel((160, 100)) == (51, 127, 204)


@needs_chromium
def test_values_are_waited_for(page: Page) -> None:
    page.go("data:text/html,<title>a</title>")
    assert page.evaluate("document.title") == "a"
    assert page.evaluate("new Promise(done => setTimeout(() => done({b: [1, null]}), 50))") == {
        "b": [1, None]
    }


@needs_chromium
def test_webgl_2_works(page: Page) -> None:
    context = "new OffscreenCanvas(8, 8).getContext('webgl2')"
    assert page.evaluate(f"{context} !== null")


@needs_chromium
def test_what_goes_wrong_is_told(page: Page) -> None:
    page.go("data:text/html,<script>console.error('spilt', 7); null.milk</script>")
    assert page.errors()[0] == "spilt 7"
    assert "milk" in page.errors()[1]
    with pytest.raises(DevToolsError, match="no use"):
        page.evaluate("Promise.reject(new Error('no use'))")


@needs_chromium
def test_pages_know_only_their_own_errors_and_requests(browser: Chromium, page: Page) -> None:
    other = browser.open_page(100, 100)
    other.go("data:text/html,<img src='http://127.0.0.1:9/a.png'><script>throw 1</script>")
    assert page.errors() == []
    assert page.requests() == []
    assert "http://127.0.0.1:9/a.png" in other.requests()


@needs_chromium
def test_addresses_that_do_not_answer_are_an_error(page: Page) -> None:
    with pytest.raises(DevToolsError, match=r"127\.0\.0\.1:9"):
        page.go("http://127.0.0.1:9/")


@needs_chromium
def test_commands_that_take_too_long_are_given_up() -> None:
    with Chromium(timeout_s=2) as impatient:
        page = impatient.open_page(100, 100)
        impatient.devtools.timeout_s = 0.2
        with pytest.raises(DevToolsError, match=r"within 0\.2 s"):
            page.evaluate("new Promise(() => 0)")


@needs_chromium
def test_a_browser_that_ended_is_told() -> None:
    with Chromium() as killed:
        page = killed.open_page(100, 100)
        killed._process.kill()
        with pytest.raises(DevToolsError, match="has ended"):
            page.evaluate("1")


def test_a_missing_browser_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chromium, "find_chromium", lambda: None)
    with pytest.raises(UserError, match="apt install chromium"):
        Chromium()
