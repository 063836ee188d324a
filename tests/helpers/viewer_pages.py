"""The viewer's page in a browser: input as from a user, and the images that it should show."""

import base64
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Page
from torch.nn import ParameterDict

from gs_esd.cameras.orbit import Cameras, look_at_origin
from gs_esd.render.renderings import render
from tests.helpers.shown_splats import Running, serving
from viewer.page import page_files

DISPLAYED_FROM_WORLD = torch.tensor([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]])
FOV = 45
TIMEOUT_S = 40
"""Of everything that a page is waited for."""


class PageLog:
    """The errors of a page, and the addresses that it requests, from now on."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._errors: list[str] = []
        self._requests: list[str] = []
        page.on("pageerror", lambda error: self._errors.append(str(error)))
        page.on("console", self._note_message)
        page.on("request", lambda request: self._requests.append(request.url))

    def _note_message(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "assert"):
            self._errors.append(f"{message.text} {message.location['url']}".strip())

    def errors(self) -> list[str]:
        """Uncaught exceptions, errors on the console, refused and failed requests."""
        self._page.evaluate("0")  # events that came before its answer are here then
        return self._errors

    def requests(self) -> list[str]:
        """The addresses, but for those that hold their content themselves, such as data:."""
        self._page.evaluate("0")
        return self._requests


def new_page(browser: Browser, width: int, height: int, **options: Any) -> Page:
    """An empty page in a context of its own.

    options: such as reduced_motion="reduce".
    """
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    context.set_default_timeout(1000 * TIMEOUT_S)
    return context.new_page()


@contextmanager
def opened(
    browser: Browser, paths: Sequence[Path], width: int, height: int, **options: Any
) -> Iterator[Page]:
    """The page of these splats, ready; nothing may have gone wrong with it at the end."""
    with serving(paths, page_files()) as running:
        with shown(browser, running, width, height, **options) as page:
            yield page


@contextmanager
def shown(
    browser: Browser, running: Running, width: int, height: int, path: str = "/", **options: Any
) -> Iterator[Page]:
    """A page of a server that is running already."""
    page = new_page(browser, width, height, **options)
    log = PageLog(page)
    page.goto(f"http://127.0.0.1:{running.port}{path}")
    wait_ready(page)
    yield page
    assert not log.errors()
    ours = (f"http://127.0.0.1:{running.port}/", "blob:", "data:")
    assert [address for address in log.requests() if not address.startswith(ours)] == []
    page.context.close()


def wait_ready(page: Page) -> None:
    """Wait for the first image."""
    until(page, "gsEsdViewer.ready.then(() => true)")


def settle(page: Page) -> None:
    """Wait until everything so far is loaded, sorted and drawn."""
    until(page, "gsEsdViewer.settled().then(() => true)")


def until(page: Page, condition: str) -> None:
    """Wait for an expression, or the promise that it is, to be true."""
    page.wait_for_function(f"() => {condition}", polling=20)  # a text would need unsafe-eval


def look(page: Page, position: Sequence[float], target: Sequence[float] = (0, 0, 0)) -> None:
    """Put the camera somewhere, in the axes of what is displayed."""
    pose = {"position": [*position], "target": [*target], "up": [0, 1, 0], "fovY": FOV}
    page.evaluate(f"gsEsdViewer.setCamera({pose})")


def options(page: Page, **changes: Any) -> None:
    page.evaluate(f"gsEsdViewer.setOptions({json.dumps(changes)})")


def image(page: Page, mode: str = "RGB") -> np.ndarray:
    """What the canvas shows once it is settled, in [0, 1]."""
    settle(page)
    return decoded(page.evaluate("gsEsdViewer.image()"), mode)


def decoded(data_url: str, mode: str = "RGB") -> np.ndarray:
    """The pixels of an image in a data URL, in [0, 1]."""
    image = Image.open(io.BytesIO(base64.b64decode(data_url.partition(",")[2])))
    return np.asarray(image.convert(mode)) / 255


def rendered(
    splats: Mapping[str, torch.Tensor] | ParameterDict,
    position: Sequence[float],
    width: int,
    height: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Premultiplied colours and alpha of our own rasterizer, for a camera as `look` takes it."""
    stands = (DISPLAYED_FROM_WORLD.T @ torch.tensor([*position], dtype=torch.float32))[None]
    focal = 0.5 * height / math.tan(math.radians(FOV) / 2)
    intrinsics = torch.tensor([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])[None]
    none = torch.zeros(1)
    cameras = Cameras(look_at_origin(stands), intrinsics, width, height, none, none)
    with torch.no_grad():
        drawn = render(ParameterDict(dict(splats.items())), cameras)
    return drawn.rgb[0].numpy(), drawn.alpha[0].numpy()


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    error = np.mean((np.clip(one, 0, 1) - np.clip(other, 0, 1)) ** 2)
    return -10 * math.log10(max(error, 1e-12))


def press(page: Page, key: str, shift: bool = False) -> None:
    """Press and release a key, wherever the focus is."""
    page.keyboard.press(f"Shift+{key}" if shift else key)


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*start)
    page.mouse.down()
    page.mouse.move(*end, steps=2)
    page.mouse.up()


def drop(page: Page, *paths: Path) -> None:
    """Drag files from elsewhere onto the middle of the page."""
    devtools = page.context.new_cdp_session(page)  # Playwright drops no files
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        event = {"type": kind, "x": 100, "y": 100, "data": data}
        devtools.send("Input.dispatchDragEvent", event)
    devtools.detach()


def text(page: Page, selector: str) -> str:
    """What an element says; empty where it is hidden."""
    element = f"document.querySelector({selector!r})"
    found: str = page.evaluate(f"{element}.checkVisibility() ? {element}.innerText : ''")
    return found
