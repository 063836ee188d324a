"""load_splats and save_splats: standard to the byte, lossless, errors of bad files."""

import doctest
import re
from contextlib import suppress
from pathlib import Path

import gsplat
import numpy as np
import plyfile
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import gs_esd
import gs_esd.export.ply
from gs_esd.errors import UserError
from gs_esd.export.axes import FileAxes
from gs_esd.export.ply import load_splats, save_splats
from gs_esd.export.ply_properties import property_names
from tests.helpers.splat_files import colorful_splats, raw_splats, raw_table

HEADER_OF_DEGREE_0 = b"""ply
format binary_little_endian 1.0
element vertex 5
property float x
property float y
property float z
property float nx
property float ny
property float nz
property float f_dc_0
property float f_dc_1
property float f_dc_2
property float opacity
property float scale_0
property float scale_1
property float scale_2
property float rot_0
property float rot_1
property float rot_2
property float rot_3
comment gs_esd {"up": "y-down", "gs-esd": "VERSION"}
end_header
""".replace(b"VERSION", gs_esd.__version__.encode())


def test_docstring_examples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner()
    for function in (save_splats, load_splats):
        for example in finder.find(function, globs=vars(gs_esd.export.ply)):
            runner.run(example)
    assert runner.summarize(verbose=False) == (0, 7)


def test_standard_header(tmp_path: Path) -> None:
    save_splats(colorful_splats(5, sh_degree=0), tmp_path / "a.ply")
    content = (tmp_path / "a.ply").read_bytes()
    assert content.startswith(HEADER_OF_DEGREE_0)
    assert len(content) == len(HEADER_OF_DEGREE_0) + 5 * 17 * 4


@pytest.mark.parametrize("sh_degree", [0, 3])
def test_same_numbers_as_gsplat_export(tmp_path: Path, sh_degree: int) -> None:
    save_splats(colorful_splats(7, sh_degree), tmp_path / "a.ply")
    ours = raw_table(tmp_path / "a.ply", 7)
    raw = dict(raw_splats(tmp_path / "a.ply", 7, sh_degree).items())
    gsplat.export_splats(**raw, save_to=str(tmp_path / "b.ply"))
    without_normals = torch.cat([ours[:, :3], ours[:, 6:]], dim=1)
    assert torch.equal(without_normals, raw_table(tmp_path / "b.ply", 7))
    assert not ours[:, 3:6].any()


def test_plyfile_reads_saved_splats(tmp_path: Path) -> None:
    save_splats(colorful_splats(7, sh_degree=3), tmp_path / "a.ply", metadata={"prompt": "猫\n"})
    content = plyfile.PlyData.read(str(tmp_path / "a.ply"))
    (vertex,) = content.elements
    assert [each.name for each in vertex.properties] == property_names(45)
    table = raw_table(tmp_path / "a.ply", 7)
    for i, each in enumerate(vertex.properties):
        assert vertex[each.name].tolist() == table[:, i].tolist()


@settings(deadline=None, max_examples=30)
@given(
    n=st.integers(1, 20),
    sh_degree=st.integers(0, 3),
    seed=st.integers(0, 1000),
    up=st.sampled_from(FileAxes),
)
def test_save_load_round_trip(
    tmp_path_factory: pytest.TempPathFactory, n: int, sh_degree: int, seed: int, up: FileAxes
) -> None:
    path = tmp_path_factory.mktemp("ply") / "a.ply"
    splats = colorful_splats(n, sh_degree, seed)
    save_splats(splats, path, up)
    loaded = load_splats(path)
    assert list(loaded.keys()) == list(splats.keys())
    for name in ("means", "scales", "opacities", "sh0"):
        assert torch.equal(loaded[name], splats[name]), name
    torch.testing.assert_close(loaded["quats"], splats["quats"], rtol=0, atol=1.2e-7)
    torch.testing.assert_close(loaded["shN"], splats["shN"], rtol=0, atol=1e-6)
    assert torch.equal(loaded["shN"][:, :3], splats["shN"][:, :3])
    assert all(parameter.requires_grad for parameter in loaded.values())


def test_axes_argument_of_load_splats(tmp_path: Path) -> None:
    splats = colorful_splats(6, sh_degree=2)
    save_splats(splats, tmp_path / "a.ply", FileAxes.z_up)
    content = (tmp_path / "a.ply").read_bytes()
    (tmp_path / "b.ply").write_bytes(re.sub(rb"comment .*\n", b"", content))
    assert not torch.equal(load_splats(tmp_path / "b.ply")["means"], splats["means"])
    assert torch.equal(load_splats(tmp_path / "b.ply", FileAxes.z_up)["means"], splats["means"])
    assert torch.equal(load_splats(tmp_path / "a.ply")["means"], splats["means"])
    (tmp_path / "c.ply").write_bytes(content.replace(b'"z-up"', b'"left"'))
    with pytest.raises(UserError, match="its frame is left; known are y-down, z-up, y-up"):
        load_splats(tmp_path / "c.ply")


def described(path: Path, text: bool, byte_order: str, kind: str, inria: bool) -> None:
    """Write our .ply again as other programs would, by plyfile."""
    vertex = plyfile.PlyData.read(str(path))["vertex"].data
    names = [name for name in vertex.dtype.names if inria or name not in ("nx", "ny", "nz")]
    if not inria:
        names = [*reversed(names)]
    table = np.empty(len(vertex), [(name, kind) for name in names])
    for name in names:
        table[name] = vertex[name]
    elements = [plyfile.PlyElement.describe(table, "vertex")]
    if not inria:
        elements.append(plyfile.PlyElement.describe(np.ones(2, [("x", kind)]), "camera"))
    plyfile.PlyData(elements, text=text, byte_order=byte_order).write(str(path))


@pytest.mark.parametrize("inria", [True, False], ids=["inria", "reversed, no normals, a camera"])
@pytest.mark.parametrize(("text", "byte_order"), [(True, "="), (False, "<"), (False, ">")])
@pytest.mark.parametrize("kind", ["f4", "f8"])
@pytest.mark.parametrize("sh_degree", [0, 1, 2, 3])
def test_load_other_layouts(
    tmp_path: Path, sh_degree: int, kind: str, text: bool, byte_order: str, inria: bool
) -> None:
    splats = colorful_splats(5, sh_degree)
    save_splats(splats, tmp_path / "a.ply")
    ours = load_splats(tmp_path / "a.ply")
    described(tmp_path / "a.ply", text, byte_order, kind, inria)
    theirs = load_splats(tmp_path / "a.ply")
    for name in splats:
        # In text plyfile keeps 18 digits of double and float: nothing is lost.
        assert torch.equal(theirs[name], ours[name]), name


def test_load_gsplat_export(tmp_path: Path) -> None:
    splats = colorful_splats(5, sh_degree=2)
    save_splats(splats, tmp_path / "a.ply")
    raw = dict(raw_splats(tmp_path / "a.ply", 5, 2).items())
    gsplat.export_splats(**raw, save_to=str(tmp_path / "b.ply"))
    ours, theirs = load_splats(tmp_path / "a.ply"), load_splats(tmp_path / "b.ply")
    assert all(torch.equal(ours[name], theirs[name]) for name in splats)


def test_load_text_with_odd_whitespace(tmp_path: Path) -> None:
    save_splats(colorful_splats(3, sh_degree=0), tmp_path / "a.ply")
    ours = load_splats(tmp_path / "a.ply")
    described(tmp_path / "a.ply", True, "=", "f4", True)
    text = (tmp_path / "a.ply").read_bytes().replace(b"end_header\n", b"end_header\n\n")
    text = text.replace(b"\n", b" \r\n").replace(b"ply \r\n", b"ply\r\n")
    (tmp_path / "a.ply").write_bytes(text + b"\r\n\r\n")
    theirs = load_splats(tmp_path / "a.ply")
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def changed(content: bytes, old: bytes, new: bytes) -> bytes:
    assert old in content
    return content.replace(old, new)


def as_text(content: bytes, rows: bytes) -> bytes:
    header, _ = content.split(b"end_header\n")
    return changed(header, b"binary_little_endian", b"ascii") + b"end_header\n" + rows


def swapped(content: bytes) -> bytes:
    """Big-endian numbers under a header that says little."""
    header, body = content.split(b"end_header\n")
    return (
        header
        + b"end_header\n"
        + torch.frombuffer(bytearray(body), dtype=torch.float32).numpy().byteswap().tobytes()
    )


BAD_FILES = {
    "not a .ply": lambda _: b"solid stl\n",
    "it is not a .ply file": lambda c: c[:300],
    "lacks opacity, rot_0": lambda c: changed(
        changed(c, b"float opacity", b"float o"), b"float rot_0", b"float r"
    ),
    "NaN or infinite numbers in x, ": lambda c: (
        c[: c.index(b"end_header\n") + 11] + torch.full((5, 17), torch.nan).numpy().tobytes()
    ),
    "no Gaussian": lambda c: changed(c, b"vertex 5", b"vertex 0"),
    "cut short: 5 splats need 340 bytes, 339": lambda c: c[:-1],
    "cut short: 999999999999999999 splats": lambda c: changed(c, b"x 5", b"x 999999999999999999"),
    "'element vertex -5' does not say how many": lambda c: changed(c, b"x 5", b"x -5"),
    "'element vertex 9{5000}' does not say": lambda c: changed(c, b"x 5", b"x " + b"9" * 5000),
    "'element vertex 5e9' does not say": lambda c: changed(c, b"x 5", b"x 5e9"),
    "'element vertex' does not say": lambda c: changed(c, b"vertex 5", b"vertex"),
    "names no element": lambda c: changed(c, b"element vertex 5", b"comment no"),
    "1 f_rest properties": lambda c: changed(c, b"float nx", b"float f_rest_0"),
    "its format is none of ascii, ": lambda c: changed(c, b"binary_little", b"binary_middle"),
    "its format is none": lambda c: changed(c, b"format", b"comment format"),
    "with a camera": lambda c: changed(c, b"element vertex", b"element camera"),
    "is a compressed .ply. Unpack it": lambda c: changed(c, b"element vertex", b"element chunk"),
    "is no plain number": lambda c: changed(c, b"float nx", b"list uchar int nx"),
    "the property nx more than once": lambda c: changed(c, b"float ny", b"float nx"),
    "byte order": swapped,
    "cut short: it promises 5 splats, 2 are there": lambda c: as_text(c, b"1 2\n3 4\n"),
    "have 2 numbers, not 17": lambda c: as_text(c, b"1 2\n" * 5),
    "not all numbers": lambda c: as_text(c, b"a " * 17 + b"\n" + (b"1 " * 17 + b"\n") * 4),
    "not all numbers ": lambda c: as_text(c, b"1 2\n1\n" * 3),
    "infinite numbers in x, ": lambda c: as_text(c, (b"1e300 " * 17 + b"\n") * 5),
}


@pytest.mark.parametrize("message", BAD_FILES)
def test_bad_file_errors(tmp_path: Path, message: str) -> None:
    path = tmp_path / "a.ply"
    save_splats(colorful_splats(5, sh_degree=0), path)
    path.write_bytes(BAD_FILES[message](path.read_bytes()))
    with pytest.raises(UserError, match=message):
        load_splats(path)


def test_missing_file_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*No such file"):
        load_splats(tmp_path / "none.ply")


@settings(deadline=None)
@given(
    form=st.sampled_from([b"ascii", b"binary_little_endian", b"binary_big_endian"]),
    content=st.binary(max_size=200),
    text=st.text("0123456789.e-+naif \n", max_size=200),
)
def test_fuzzed_header_and_body_error(
    tmp_path_factory: pytest.TempPathFactory, form: bytes, content: bytes, text: str
) -> None:
    path = tmp_path_factory.mktemp("noise") / "a.ply"
    start = b"ply\nformat " + form + b" 1.0\nelement vertex 3\nproperty "
    path.write_bytes(start + content + b"\nend_header\n" + content)
    with pytest.raises(UserError):
        load_splats(path)
    path.write_bytes(start + b"float x\nend_header\n" + text.encode())
    with pytest.raises(UserError):
        load_splats(path)


@settings(deadline=None)
@given(data=st.data())
def test_flipped_byte_read_or_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("flip") / "a.ply"
    save_splats(colorful_splats(2, sh_degree=0), path)
    content = bytearray(path.read_bytes())
    position = data.draw(st.integers(0, len(content) - 1))
    content[position] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with suppress(UserError):
        assert all(torch.isfinite(each).all() for each in load_splats(path).values())


def test_unwritable_folder_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in ("none", "file"):
        with pytest.raises(UserError, match=r"hydra\.sweep\.dir"):
            save_splats(colorful_splats(5, sh_degree=0), tmp_path / folder / "a.ply")
