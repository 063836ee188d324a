"""Inspecting splat files: their content and metadata, and errors for everything invalid."""

import gzip
import os
import struct
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import plyfile
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gs_esd.errors import UserError
from gs_esd.export.ply_file import read_table
from gs_esd.export.ply_properties import required_names
from tests.helpers.shown_splats import splat_table, write_ply, write_splat
from viewer.scene.files import Splat, inspect, open_file, pieces


def look(path: Path) -> Splat:
    with open_file(path, path.name) as file:
        return inspect(file, path.name)


def content(path: Path) -> bytes:
    """What the page gets."""
    with open_file(path, path.name) as file:
        length, parts = pieces(file, inspect(file, path.name), path.name)
        whole = b"".join(parts)
    assert len(whole) == length
    return whole


def write_compressed(path: Path, n: int = 300, sh_degree: int = 0, chunks: int = 0) -> Path:
    """PlayCanvas' layout, by its description, of arbitrary but valid numbers."""
    chunks = chunks or -(-n // 256)
    rest = 3 * ((sh_degree + 1) ** 2 - 1)
    bounds = [f"{end}_{axis}" for end in ("min", "max") for axis in ("x", "y", "z")]
    sizes = [f"{end}_scale_{axis}" for end in ("min", "max") for axis in ("x", "y", "z")]
    lines = ["ply", "format binary_little_endian 1.0", f"element chunk {chunks}"]
    lines += [f"property float {name}" for name in bounds + sizes]
    lines += [f"element vertex {n}"]
    lines += [f"property uint packed_{name}" for name in ("position", "rotation", "scale", "color")]
    if rest:
        lines += [f"element sh {n}", *(f"property uchar f_rest_{i}" for i in range(rest))]
    lines += ['comment gs_esd {"up": "y-down", "gs-esd": "0", "seed": 7}', "end_header\n"]
    body = struct.pack("<12f", *[-1.0] * 3, *[1.0] * 3, *[-5.0] * 3, *[-4.0] * 3) * chunks
    path.write_bytes("\n".join(lines).encode() + body + bytes(16 * n) + bytes(rest * n))
    return path


@pytest.mark.parametrize("sh_degree", [0, 1, 2, 3])
def test_our_files_are_told_and_given_as_they_are(tmp_path: Path, sh_degree: int) -> None:
    path = write_ply(tmp_path / "a.ply", 70_000, sh_degree, prompt="a corgi", seed=3, up="z-up")
    found = look(path)
    assert (found.format, found.gaussians, found.sh_degree) == ("ply", 70_000, sh_degree)
    assert (found.bytes, found.is_standard) == (path.stat().st_size, True)
    assert (found.metadata["prompt"], found.metadata["seed"]) == ("a corgi", 3)
    assert content(path) == path.read_bytes()


@pytest.mark.parametrize("sh_degree", [0, 1, 2, 3])
def test_compressed_files_are_told_and_given_as_they_are(tmp_path: Path, sh_degree: int) -> None:
    path = write_compressed(tmp_path / "a.compressed.ply", 300, sh_degree)
    found = look(path)
    assert (found.format, found.gaussians) == ("compressed.ply", 300)
    assert (found.sh_degree, found.metadata["seed"]) == (sh_degree, 7)
    assert content(path) == path.read_bytes()


def test_gsplats_compressed_files_are_recognised(tmp_path: Path) -> None:
    from gs_esd.export.compressed_ply import save_compressed_ply
    from tests.helpers.splat_files import colorful_splats

    for sh_degree in (0, 3):
        save_compressed_ply(colorful_splats(300, sh_degree), tmp_path / "a.ply")
        assert look(tmp_path / "a.ply").sh_degree == sh_degree


def test_splat_files_are_known_by_their_content(tmp_path: Path) -> None:
    found = look(write_splat(tmp_path / "a.ply", 5))
    assert (found.format, found.gaussians, found.sh_degree, found.bytes) == ("splat", 5, 0, 160)
    assert content(tmp_path / "a.ply") == (tmp_path / "a.ply").read_bytes()
    assert look(write_ply(tmp_path / "b.splat")).format == "ply"


def rewritten(path: Path, text: bool = False, order: str = "<", kind: str = "f4") -> None:
    """Write our .ply again as other programs would."""
    vertex = plyfile.PlyData.read(str(path))["vertex"].data
    table = np.empty(len(vertex), [(name, kind) for name in reversed(vertex.dtype.names)])
    for name in table.dtype.names:
        table[name] = vertex[name]
    elements = [
        plyfile.PlyElement.describe(table, "vertex"),
        plyfile.PlyElement.describe(np.ones(2, [("x", kind)]), "camera"),
    ]
    plyfile.PlyData(elements, text=text, byte_order=order).write(str(path))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize("kind", ["f4", "f8"])
def test_other_forms_reach_the_page_in_the_one_it_reads(
    tmp_path: Path, order: str, text: bool, kind: str
) -> None:
    path = write_ply(tmp_path / "a.ply", 70_000 if not text else 7, sh_degree=1)
    (tmp_path / "b.ply").write_bytes(path.read_bytes())
    rewritten(tmp_path / "b.ply", text, "=" if text else order, kind)
    assert not look(tmp_path / "b.ply").is_standard
    (tmp_path / "c.ply").write_bytes(content(tmp_path / "b.ply"))
    assert look(tmp_path / "c.ply").is_standard
    ours, theirs = read_table(path)[0], read_table(tmp_path / "c.ply")[0]
    assert set(theirs) == set(required_names(9))
    for name, column in theirs.items():
        np.testing.assert_array_equal(column, ours[name])


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.replace(b"\n", b"\r\n", c[: c.index(b"end_header")].count(b"\n") + 1),
        lambda c: c.replace(b"element", "comment by Zoë\nelement".encode("latin-1"), 1),
        lambda c: c.replace(b"element", b"comment " + b"x" * 70_000 + b"\nelement", 1),
        lambda c: c.replace(b"property float x", b"property float32 x"),
        lambda c: c.replace(b"element", b"obj_info made by hand\nelement", 1),
        lambda c: c[:-16] + bytes(16),
    ],
    ids=["CRLF", "latin-1", "a long header", "another name of a type", "obj_info", "no rotation"],
)
def test_oddities_that_readers_stumble_over_are_smoothed(
    tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    path = write_ply(tmp_path / "a.ply", 5)
    table = read_table(path)[0]
    path.write_bytes(change(path.read_bytes()))
    assert not look(path).is_standard
    (tmp_path / "b.ply").write_bytes(content(path))
    assert look(tmp_path / "b.ply").is_standard
    for name, column in read_table(tmp_path / "b.ply")[0].items():
        np.testing.assert_array_equal(column[:-1], table[name][:-1])
        assert np.isfinite(column).all()


def activated(path: Path) -> None:
    names, table = splat_table(5)
    for i, name in enumerate(names):
        if name.startswith("scale"):
            table[:, i] = np.exp(table[:, i])
        if name == "opacity":
            table[:, i] = 1 / (1 + np.exp(-table[:, i]))
    start = write_ply(path, 5).read_bytes().partition(b"end_header\n")
    path.write_bytes(start[0] + start[1] + table.tobytes())


BAD = {
    "is empty": lambda path: path.write_bytes(b""),
    "is no splat, or cut short: .* 33 bytes": lambda path: path.write_bytes(bytes(33)),
    "is no splat: neither": lambda path: path.write_text("lorem ipsum dolor " * 64),
    "as a .splat holds NaN": lambda path: path.write_bytes(b"\xff" * 64),
    "is no .ply, and as a .splat holds": lambda path: path.write_bytes(
        np.random.default_rng(0).bytes(3200)
    ),
    "as a .splat holds negative sizes": lambda path: path.write_bytes(
        struct.pack("<6f8B", 0, 0, 0, -1, 1, 1, *[9] * 4, *[255, 128, 128, 128])
    ),
    "is packed, as .spz is. Unpack": lambda path: path.write_bytes(gzip.compress(b"NGSP" * 9)),
    "is a zip, as .sog is": lambda path: path.write_bytes(b"PK\3\4" + bytes(60)),
    "is glTF": lambda path: path.write_bytes(b"glTF" + bytes(60)),
    "it is not a .ply file": lambda path: path.write_bytes(b"ply\nformat ascii 1.0\n"),
    "cut short: 5 splats need 340 bytes, 339": lambda path: write_ply(path, 5).write_bytes(
        path.read_bytes()[:-1]
    ),
    "holds no Gaussian": lambda path: write_ply(path, 0),
    "lacks opacity": lambda path: write_ply(path).write_bytes(
        path.read_bytes().replace(b"float opacity", b"float o")
    ),
    "NaN or infinite numbers in rot_3": lambda path: write_ply(path).write_bytes(
        path.read_bytes()[:-4] + struct.pack("<f", np.nan)
    ),
    "seems to hold activated values": activated,
}


@pytest.mark.parametrize("message", BAD)
def test_invalid_dropped_files_show_a_problem(tmp_path: Path, message: str) -> None:
    path = tmp_path / "a.ply"
    BAD[message](path)
    with pytest.raises(UserError, match=f"^a.ply .*{message}"):
        look(path)


def changed(path: Path, old: bytes, new: bytes) -> None:
    assert old in path.read_bytes()
    path.write_bytes(path.read_bytes().replace(old, new, 1))


BAD_COMPRESSED = {
    "cut short: 300 splats need": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "element `sh` without properties": lambda path: path.write_bytes(
        b"".join(
            line
            for line in path.read_bytes().splitlines(keepends=True)
            if b"property uchar" not in line
        )
    ),
    "8 coefficients for 300 of 300": lambda path: changed(path, b"property uchar f_rest_8\n", b""),
    "9 coefficients for 299 of 300": lambda path: changed(path, b"sh 300", b"sh 299"),
    "lacks max_scale_z": lambda path: changed(path, b"float max_scale_z", b"float max_scale_w"),
    "lacks packed_color": lambda path: changed(path, b"uint packed_color", b"float packed_color"),
    "1 chunks for 300 Gaussians": lambda path: changed(path, b"chunk 2", b"chunk 1"),
    "no Gaussian": lambda path: changed(path, b"vertex 300", b"vertex 0"),
    "little-endian chunks, then vertices": lambda path: changed(path, b"little", b"big"),
    "then vertices, ": lambda path: changed(path, b"element vertex", b"element edge"),
    "reach to infinity": lambda path: changed(
        path, struct.pack("<f", -5.0), struct.pack("<f", np.inf)
    ),
    "need 18000000007500 bytes": lambda path: changed(path, b"chunk 2", b"chunk 375000000000"),
}


@pytest.mark.parametrize("message", BAD_COMPRESSED)
def test_bad_compressed_files_are_explained(tmp_path: Path, message: str) -> None:
    path = write_compressed(tmp_path / "a.compressed.ply", sh_degree=1)
    BAD_COMPRESSED[message](path)
    with pytest.raises(UserError, match=message):
        look(path)


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match=r"is not a file|cannot read"):
            open_file(path, "it")


def test_a_file_cut_while_it_is_read_is_said(tmp_path: Path) -> None:
    path = write_ply(tmp_path / "a.ply", 140_000)
    rewritten(path)
    with open_file(path, "a.ply") as file:
        _, parts = pieces(file, inspect(file, "a.ply"), "a.ply")
        next(parts)
        next(parts)
        os.truncate(path, 5_000_000)
        with pytest.raises(UserError, match="was cut short while it was read"):
            list(parts)


@settings(deadline=None, max_examples=80)
@given(data=st.data())
def test_damaged_files_are_shown_or_explained(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "a.ply"
    write = data.draw(st.sampled_from([write_ply, write_splat, write_compressed]))
    damaged = bytearray(write(path, 3).read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    with suppress(UserError):
        assert 1 <= look(path).gaussians <= 3
        assert content(path)


@settings(deadline=None, max_examples=80)
@given(content=st.binary(max_size=400))
def test_noise_is_shown_or_explained(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("noise") / "a.splat"
    for start in (b"", b"ply\nformat binary_little_endian 1.0\nelement chunk 1\n"):
        path.write_bytes(start + content)
        with suppress(UserError):
            assert look(path).format == "splat"
