"""The viewer's page in a browser, what a person does with it, and the images it should show."""

import base64
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import ParameterDict

from gs_esd.cameras.orbit import Cameras, look_at_origin
from gs_esd.render.renderings import render
from tests.helpers.shown_splats import Running, serving
from viewer.answers import page_files
from viewer.chromium import Chromium, Page, find_chromium

needs_chromium = pytest.mark.skipif(find_chromium() is None, reason="Chromium is not installed")

DISPLAYED_FROM_WORLD = torch.tensor([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]])
FOV = 45
KEYS = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Tab": 9, "Enter": 13}
KEYS |= {"Escape": 27, "Home": 36, "End": 35, " ": 32}


@contextmanager
def opened(
    browser: Chromium, paths: Sequence[Path], width: int, height: int, **media: str
) -> Iterator[Page]:
    """The page of these splats, ready; nothing may have gone wrong with it at the end.

    media: features such as prefers_color_scheme.
    """
    with serving(paths, page_files()) as running:
        with shown(browser, running, width, height, **media) as page:
            yield page


@contextmanager
def shown(
    browser: Chromium, running: Running, width: int, height: int, path: str = "/", **media: str
) -> Iterator[Page]:
    """A page of a server that is running already."""
    page = browser.open_page(width, height)
    features = [{"name": name.replace("_", "-"), "value": media[name]} for name in media]
    page.send("Emulation.setEmulatedMedia", features=features)
    page.go(f"http://127.0.0.1:{running.port}{path}")
    page.evaluate("gsEsdViewer.ready")
    yield page
    assert not page.errors(), page.errors()
    ours = (f"http://127.0.0.1:{running.port}/", "blob:", "data:")
    foreign = [address for address in page.requests() if not address.startswith(ours)]
    assert not foreign, foreign
    page.send("Page.close")


def look(page: Page, position: Sequence[float], target: Sequence[float] = (0, 0, 0)) -> None:
    """Put the camera somewhere, in the axes of what is displayed."""
    pose = {"position": [*position], "target": [*target], "up": [0, 1, 0], "fovY": FOV}
    page.evaluate(f"gsEsdViewer.setCamera({pose})")


def options(page: Page, **changes: Any) -> None:
    page.evaluate(f"gsEsdViewer.setOptions({json.dumps(changes)})")


def image(page: Page, mode: str = "RGB") -> np.ndarray:
    """What the canvas shows once it is settled, in [0, 1]."""
    address = page.evaluate("gsEsdViewer.image()")
    image = Image.open(io.BytesIO(base64.b64decode(address.split(",", 1)[1])))
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
    what: dict[str, Any] = {"key": key, "modifiers": 8 if shift else 0}
    if len(key) == 1 or key == "Enter":
        what["text"] = "\r" if key == "Enter" else key
    what["windowsVirtualKeyCode"] = KEYS.get(key, ord(key.upper()[0]))
    page.send("Input.dispatchKeyEvent", type="keyDown", **what)
    page.send("Input.dispatchKeyEvent", type="keyUp", **what)


def mouse(page: Page, kind: str, x: float, y: float, **more: Any) -> None:
    page.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)


def click(page: Page, x: float, y: float) -> None:
    button = {"button": "left", "clickCount": 1}
    mouse(page, "mouseMoved", x, y)
    mouse(page, "mousePressed", x, y, buttons=1, **button)
    mouse(page, "mouseReleased", x, y, buttons=0, **button)


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    mouse(page, "mouseMoved", *start)
    mouse(page, "mousePressed", *start, button="left", buttons=1, clickCount=1)
    for part in (0.5, 1.0):
        between = [a + part * (b - a) for a, b in zip(start, end, strict=True)]
        mouse(page, "mouseMoved", *between, button="left", buttons=1)
    mouse(page, "mouseReleased", *end, button="left", buttons=0, clickCount=1)


def drop(page: Page, *paths: Path) -> None:
    """Drag files from elsewhere onto the middle of the page."""
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        page.send("Input.dispatchDragEvent", type=kind, x=100, y=100, data=data)


def text(page: Page, selector: str) -> str:
    """What an element says; empty where it is hidden."""
    element = f"document.querySelector({selector!r})"
    found: str = page.evaluate(f"{element}.checkVisibility() ? {element}.innerText : ''")
    return found


def until(page: Page, condition: str, seconds: float = 20) -> None:
    """Wait for an expression to be true."""
    limit = 1000 * seconds
    waited = page.evaluate(
        "new Promise((resolve) => { const start = performance.now(); const look = () => {"
        f"if ({condition}) resolve(true);"
        f"else if (performance.now() - start > {limit}) resolve(false);"
        "else setTimeout(look, 20); }; look(); })"
    )
    assert waited, f"{condition} did not come true"
