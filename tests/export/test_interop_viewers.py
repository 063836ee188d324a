"""Other programs' renderers draw our files as ours does: axes, handedness and colours.

PlayCanvas' engine is what SuperSplat draws with. three.js cuts Gaussians off at two standard
deviations, which costs it a few dB.
"""

import json
import math
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import torch
from playwright.sync_api import Browser, Page
from torch import Tensor
from torch.nn import ParameterDict

from gs_esd.cameras.orbit import Cameras, Orbit, turntable
from gs_esd.export.command import save
from gs_esd.export.frames import FileAxes
from gs_esd.export.ply import save_splats
from gs_esd.render.renderings import render
from tests.helpers.npm_packages import INTEROP, installed
from tests.helpers.splat_files import WORLD_FROM_FILE
from tests.helpers.statue import statue
from tests.helpers.viewer_pages import PageLog, decoded, new_page

SIZE = 256
VIEWS = torch.tensor([1, 4])
"""Of eight around: the front's left side, and the back."""
ORBIT = Orbit(distance=3.0, fov=math.radians(40), elevation_min=0.4, elevation_max=0.4)
BACKGROUND = (0.2, 0.4, 0.6)
MIN_PSNR_DB, MAX_WRONG_PSNR_DB = 30.0, 20.0

PAGE_FROM_FILE = {"playcanvas": torch.tensor([-1.0, -1, 1]), "three": torch.tensor([1.0, -1, -1])}
"""How the pages turn a y-down file, half around one axis or the other, as their users do."""
FORMATS = {
    "playcanvas": ["splat.ply", "splat.compressed.ply"],
    "three": ["splat.ply", "splat.splat", "splat.glb"],
}
"""Files that each program reads."""

Draw = Callable[[str, str], Tensor]


class Handler(SimpleHTTPRequestHandler):
    """Serves the pages of tests/interop, the packages under /node_modules, and /files."""

    def __init__(self, folders: dict[str, Path], *arguments: object) -> None:
        self.folders = folders
        super().__init__(*arguments)  # type: ignore[arg-type]

    def translate_path(self, path: str) -> str:
        first, _, rest = path.lstrip("/").partition("/")
        return str(self.folders[first] / rest if rest else INTEROP / first)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("files")


@pytest.fixture(scope="module")
def address(request: pytest.FixtureRequest, files: Path) -> Iterator[str]:
    folders = {"node_modules": installed(request.config), "files": files}
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, folders)) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def pages(address: str, browser: Browser) -> Iterator[dict[str, tuple[Page, PageLog]]]:
    opened = {}
    for engine in FORMATS:
        page = new_page(browser, SIZE, SIZE)
        opened[engine] = page, PageLog(page)
        page.goto(f"{address}/{engine}.html")
    yield opened
    for page, _ in opened.values():
        page.context.close()


@pytest.fixture(scope="module")
def draw(pages: dict[str, tuple[Page, PageLog]]) -> Draw:
    def draw(engine: str, name: str) -> Tensor:
        """Renderings of a file by another program, seen by `cameras()` [2, SIZE, SIZE, 3]."""
        up = "y-up" if name.endswith(".glb") else "y-down"
        turned = positions(cameras()) @ WORLD_FROM_FILE[up]
        if up == "y-down":
            turned = turned * PAGE_FROM_FILE[engine]
        page, log = pages[engine]
        images = [_image(page, name, position) for position in turned]
        assert log.errors() == []
        return torch.stack(images)

    return draw


def _image(page: Page, name: str, position: Tensor) -> Tensor:
    view = {
        "position": position.tolist(),
        "fov": math.degrees(ORBIT.fov),
        "background": BACKGROUND,
    }
    return torch.from_numpy(decoded(page.evaluate(f"draw('/files/{name}', {json.dumps(view)})")))


def cameras() -> Cameras:
    return turntable(8, ORBIT.elevation_min, ORBIT, SIZE)[VIEWS]


def positions(cameras: Cameras) -> Tensor:
    return torch.linalg.inv(cameras.viewmats)[:, :3, 3]


@pytest.fixture(scope="module")
def reference() -> Tensor:
    return our_image(statue())


def our_image(splats: ParameterDict) -> Tensor:
    """Our own renderings, seen by `cameras()` [2, SIZE, SIZE, 3]."""
    with torch.no_grad():
        return render(splats, cameras()).over(torch.tensor(BACKGROUND)).clamp(0, 1)


def psnr_db(images: Tensor, reference: Tensor) -> list[float]:
    errors = (images - reference).square().mean(dim=(1, 2, 3))
    return (-10 * errors.log10()).tolist()


@pytest.mark.parametrize(
    ("engine", "name"), [(engine, name) for engine in FORMATS for name in FORMATS[engine]]
)
def test_psnr_of_other_renderers(draw: Draw, files: Path, engine: str, name: str) -> None:
    shown = statue(0) if name.endswith(".splat") else statue()  # .splat has no view dependence
    save(shown, files / name, None, {"prompt": "a statue"})
    found = psnr_db(draw(engine, name), our_image(shown))
    assert min(found) >= MIN_PSNR_DB


def mirrored(file: Path) -> None:
    splats = statue()
    splats["means"].data[:, 1] *= -1
    save_splats(splats, file)


def overturned(file: Path) -> None:
    save_splats(statue(), file, FileAxes.y_up)


def on_its_back(file: Path) -> None:
    save_splats(statue(), file, FileAxes.z_up)


def half_around(file: Path) -> None:
    splats = statue()
    splats["means"].data[:, :2] *= -1
    save_splats(splats, file)


@pytest.mark.parametrize("spoil", [mirrored, overturned, on_its_back, half_around])
def test_wrong_axes_give_low_psnr(
    draw: Draw, files: Path, reference: Tensor, spoil: Callable[[Path], None]
) -> None:
    name = f"{spoil.__name__}.ply"
    spoil(files / name)
    for engine in FORMATS:
        assert max(psnr_db(draw(engine, name), reference)) <= MAX_WRONG_PSNR_DB


def test_unrotated_sh_give_low_psnr(
    draw: Draw, files: Path, reference: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gs_esd.export.frames.rotate_sh", lambda sh, rotation: sh)
    save_splats(statue(), files / "unturned.ply")
    for engine in FORMATS:
        assert max(psnr_db(draw(engine, "unturned.ply"), reference)) < MIN_PSNR_DB
