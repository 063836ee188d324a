"""Files that are dropped on the page: every format and form, or the problem with it."""

import gzip
import math
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import plyfile
import pytest
import torch
from playwright.sync_api import Browser, Page
from torch.nn import ParameterDict

from gs_esd.export.compressed_ply import save_compressed_ply
from gs_esd.export.frames import FileAxes, to_file_axes
from gs_esd.export.ply import save_splats
from gs_esd.export.splat import save_splat
from tests.helpers.shown_splats import write_ply
from tests.helpers.splat_files import colorful_splats
from tests.helpers.viewer_pages import (
    drop,
    image,
    look,
    opened,
    options,
    press,
    psnr,
    rendered,
    settle,
    text,
    until,
)

SIZE = (240, 180)
POSITION = (0.3, 0.5, 2.5)


@pytest.fixture(scope="module")
def page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """One for all tests, because each drop replaces what is shown."""
    path = write_ply(tmp_path_factory.mktemp("served") / "served.ply", 5)
    with opened(browser, [path], *SIZE) as page:
        options(page, background="black")
        yield page


@pytest.fixture(scope="module", params=[0, 2])
def splats(request: pytest.FixtureRequest) -> ParameterDict:
    splats = colorful_splats(80, request.param)
    generator = torch.Generator().manual_seed(1)
    splats["scales"].data = math.log(0.08) + 0.4 * torch.randn(80, 3, generator=generator)
    splats["quats"].data = torch.randn(80, 4, generator=generator)
    return splats


def dropped(page: Page, path: Path) -> np.ndarray:
    """What the page shows of a file."""
    drop(page, path)
    until(page, f"document.getElementById('title').innerText === {path.name!r}")
    settle(page)
    look(page, POSITION)
    return image(page)


def described(path: Path, text: bool, byte_order: str, kind: str) -> None:
    """Write our .ply again as other programs would: reversed, without normals, a camera first."""
    vertex = plyfile.PlyData.read(str(path))["vertex"].data
    names = [name for name in vertex.dtype.names if name not in ("nx", "ny", "nz")][::-1]
    table = np.empty(len(vertex), [(name, kind) for name in names])
    for name in names:
        table[name] = vertex[name]
    camera = plyfile.PlyElement.describe(np.ones(2, [("x", "f8"), ("i", "u1")]), "camera")
    elements = [camera, plyfile.PlyElement.describe(table, "vertex")]
    plyfile.PlyData(elements, text=text, byte_order=byte_order).write(str(path))


@pytest.mark.parametrize(
    ("text", "byte_order", "kind"),
    [(True, "=", "f4"), (False, "<", "f4"), (False, ">", "f4"), (False, "<", "f8")],
)
def test_ply_files_of_all_forms_are_drawn(
    page: Page, tmp_path: Path, splats: ParameterDict, text: bool, byte_order: str, kind: str
) -> None:
    path = tmp_path / f"{byte_order == '>'}{text}{kind}{splats['shN'].shape[1]}.ply"
    save_splats(splats, path)
    described(path, text, byte_order, kind)
    rgb, _ = rendered(splats, POSITION, *SIZE)
    assert psnr(dropped(page, path), rgb) >= 50


def test_other_formats_are_drawn(page: Page, tmp_path: Path, splats: ParameterDict) -> None:
    degree = splats["shN"].shape[1]
    save_compressed_ply(splats, tmp_path / f"{degree}.compressed.ply")
    rgb, _ = rendered(splats, POSITION, *SIZE)
    assert psnr(dropped(page, tmp_path / f"{degree}.compressed.ply"), rgb) >= 38
    save_splat(splats, tmp_path / f"{degree}.splat")
    without = {**dict(splats.items()), "shN": splats["shN"][:, :0]}
    rgb, _ = rendered(without, POSITION, *SIZE)
    assert psnr(dropped(page, tmp_path / f"{degree}.splat"), rgb) >= 35


def test_metadata_of_a_dropped_file_is_shown(page: Page, tmp_path: Path) -> None:
    write_ply(tmp_path / "metadata.ply", 7, 1, prompt="a cat", seed=5, up="z-up")
    dropped(page, tmp_path / "metadata.ply")
    press(page, "i")
    for fact in ("a cat", "5", "7", "z-up"):
        assert fact in text(page, "#info")
    press(page, "i")


def test_several_files_are_shown_side_by_side_and_back(page: Page, tmp_path: Path) -> None:
    names = [f"{name}.ply" for name in "abc"]
    drop(page, *[write_ply(tmp_path / name, 9, draw=i) for i, name in enumerate(names)])
    until(page, "document.querySelectorAll('.cell-name').length === 3")
    settle(page)
    cell_names = "[...document.querySelectorAll('.cell-name')].map((each) => each.innerText)"
    assert page.evaluate(cell_names) == names
    page.evaluate("document.querySelector('#messages button').click()")
    until(page, "document.getElementById('title').innerText.includes('served')")
    assert page.evaluate(cell_names) == [""] or len(page.evaluate(cell_names)) == 1
    settle(page)


def broken(path: Path, change: str) -> None:
    """Write a file that cannot be shown."""
    write_ply(path, 5, prompt="")
    content = path.read_bytes()
    if change == "cut":
        content = content[:-9]
    elif change == "lacking":
        content = content.replace(b"float opacity", b"float opaqueness")
    elif change == "nonsense":
        content = bytes(range(256)) * 4
    elif change == "empty":
        content = b""
    elif change == "activated":
        head, _ = write_ply(path, 5).read_bytes().split(b"end_header\n")
        content = head + b"end_header\n" + np.full((5, 17), 0.5, "<f4").tobytes()
    elif change == "infinite":
        head, body = content.split(b"end_header\n", 1)
        content = head + b"end_header\n" + np.full(len(body) // 4, np.nan, "<f4").tobytes()
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("a.ply", "cut", "cut short"),
        ("b.ply", "lacking", "lacks opacity"),
        ("c.ply", "nonsense", "not a .ply"),
        ("d.ply", "empty", "not a .ply"),
        ("e.ply", "activated", "activated values"),
        ("f.ply", "infinite", "not finite"),
        ("g.splat", "nonsense-splat", "no multiple"),
        ("h.spz", "nonsense", "cannot be shown"),
        ("i.jpg", "nonsense", "known are .ply"),
    ],
)
def test_invalid_dropped_files_show_a_problem(
    page: Page, tmp_path: Path, name: str, change: str, words: str
) -> None:
    broken(tmp_path / name, change)
    drop(page, tmp_path / name)
    until(page, f"document.querySelector('.cell-state.problem')?.innerText.includes({words!r})")
    assert text(page, ".cell-state.problem").startswith(f"{name} cannot be shown")


def test_splats_that_are_not_finite_are_left_out(page: Page, tmp_path: Path) -> None:
    path = write_ply(tmp_path / "some.ply", 10, prompt="")
    head, body = path.read_bytes().split(b"end_header\n", 1)
    table = np.frombuffer(body, "<f4").reshape(10, 17).copy()
    table[3, 0], table[7, 9] = np.inf, np.nan
    path.write_bytes(head + b"end_header\n" + table.tobytes())
    dropped(page, path)
    press(page, "i")
    lines = text(page, "#info").split("\n")
    assert "2" in lines[lines.index("Not finite, left out") + 1]
    press(page, "i")


def write_spz(path: Path, splats: ParameterDict) -> None:
    """Niantic's .spz of version 2, without spherical harmonics; its axes have y up, z to us."""
    flip, turned = torch.tensor([1.0, -1, -1]), to_file_axes(splats, FileAxes.y_down)
    means = (turned["means"] * flip * 4096).round().int().numpy()
    quats = turned["quats"]
    quats = quats / quats.norm(dim=1, keepdim=True) * torch.where(quats[:, :1] < 0, -1, 1)
    xyz = quats[:, 1:] * flip
    columns = [
        means[..., None].astype("<i4").view("u1")[..., :3],
        _bytes(splats["opacities"].sigmoid() * 255),
        _bytes((splats["sh0"][:, 0] * 0.15 + 0.5) * 255),
        _bytes((splats["scales"] + 10) * 16),
        _bytes((xyz + 1) * 127.5),
    ]
    head = struct.pack("<4sIIBBBB", b"NGSP", 2, len(means), 0, 12, 0, 0)
    path.write_bytes(gzip.compress(head + b"".join(column.tobytes() for column in columns)))


def _bytes(values: torch.Tensor) -> np.ndarray:
    return values.detach().round().clamp(0, 255).to(torch.uint8).numpy()


def test_spz_files_are_drawn_upright(page: Page, tmp_path: Path, splats: ParameterDict) -> None:
    path = tmp_path / f"{splats['shN'].shape[1]}.spz"
    write_spz(path, splats)
    without = {**dict(splats.items()), "shN": splats["shN"][:, :0]}
    rgb, _ = rendered(without, POSITION, *SIZE)
    assert psnr(dropped(page, path), rgb) >= 30
