"""Metadata of a .ply, whatever the prompt."""

from pathlib import Path
from typing import Any

import plyfile
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gs_esd
from gs_esd.errors import UserError
from gs_esd.export.axes import FileAxes
from gs_esd.export.metadata import MAX_TEXT_CHARACTERS, from_comments, to_comments
from gs_esd.export.ply import load_metadata, load_splats, save_splats
from tests.helpers.splat_files import colorful_splats

NASTY = [
    "",
    " two  spaces, at both ends ",
    "a corgi\nend_header\nelement vertex 3\r\nproperty float x",
    'a "corgi" \\ with \\n all \t that',
    "猫 🐕 Zürich \x00 \x7f \u2028 \udce9",
    "end_header",
    "\\" * 300,
    " " * 700,
    "🐕" * MAX_TEXT_CHARACTERS,
]

OURS = {"up": "y-down", "gs-esd": gs_esd.__version__}


def header(path: Path) -> list[bytes]:
    return path.read_bytes().split(b"\nend_header\n")[0].split(b"\n")


@pytest.mark.parametrize("prompt", NASTY)
def test_prompt_round_trip(tmp_path: Path, prompt: str) -> None:
    splats = colorful_splats(2, sh_degree=0)
    metadata = {"prompt": prompt, "lambda_esd": 0.25, "seed": 3, "guidance": "esd"}
    save_splats(splats, tmp_path / "a.ply", metadata=metadata)
    assert load_metadata(tmp_path / "a.ply") == OURS | metadata
    assert len(load_splats(tmp_path / "a.ply")["means"]) == 2


@pytest.mark.parametrize("prompt", NASTY)
def test_header_compatibility(tmp_path: Path, prompt: str) -> None:
    save_splats(colorful_splats(2, sh_degree=0), tmp_path / "a.ply", metadata={"prompt": prompt})
    lines = header(tmp_path / "a.ply")
    assert lines[2] == b"element vertex 2"  # where INRIA's viewer looks for it
    assert all(len(line) < 255 for line in lines)
    assert all(32 <= byte < 127 for line in lines for byte in line)
    assert (tmp_path / "a.ply").read_bytes().count(b"end_header") == 1
    assert [line.split()[0] for line in lines[3:20]] == [b"property"] * 17
    assert {line.split()[0] for line in lines[20:]} == {b"comment"}
    vertex = plyfile.PlyData.read(str(tmp_path / "a.ply"))["vertex"]
    assert len(vertex.data) == 2


plain_values = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text()


@given(values=st.dictionaries(st.text(max_size=20), plain_values, max_size=5))
def test_comments_round_trip(values: dict[str, Any]) -> None:
    assert from_comments(to_comments(values)) == values


@given(comments=st.lists(st.text().map(lambda text: f"gs_esd {text}")))
def test_incomplete_comments_ignored(comments: list[str]) -> None:
    assert isinstance(from_comments(comments), dict)
    whole = to_comments({"prompt": "a corgi " * 100})
    assert len(whole) > 1
    assert from_comments(whole[:-1]) == from_comments(whole[1:]) == {}
    assert from_comments(["made by hand", *whole, "cleaned"]) == {"prompt": "a corgi " * 100}


def test_long_text_truncated(tmp_path: Path) -> None:
    save_splats(colorful_splats(2, 0), tmp_path / "a.ply", metadata={"prompt": "x" * 5000})
    prompt = load_metadata(tmp_path / "a.ply")["prompt"]
    assert len(prompt) == MAX_TEXT_CHARACTERS
    assert prompt.endswith("x…")


def test_axes_and_version_not_overridable(tmp_path: Path) -> None:
    metadata = {"up": "left", "gs-esd": "0", "seed": 1}
    save_splats(colorful_splats(2, 0), tmp_path / "a.ply", FileAxes.y_up, metadata)
    assert load_metadata(tmp_path / "a.ply") == OURS | {"up": "y-up", "seed": 1}


def test_no_metadata_in_other_programs_files(tmp_path: Path) -> None:
    text = "ply\nformat ascii 1.0\ncomment made by hand\nelement vertex 0\nend_header\n"
    (tmp_path / "a.ply").write_text(text)
    assert load_metadata(tmp_path / "a.ply") == {}
    (tmp_path / "a.ply").write_text("splats")
    with pytest.raises(UserError, match=r"not a \.ply file"):
        load_metadata(tmp_path / "a.ply")


@settings(deadline=None, max_examples=50)
@given(prompt=st.text())
def test_arbitrary_prompt_round_trip(tmp_path_factory: pytest.TempPathFactory, prompt: str) -> None:
    path = tmp_path_factory.mktemp("prompt") / "a.ply"
    save_splats(colorful_splats(2, sh_degree=0), path, metadata={"prompt": prompt})
    assert load_metadata(path)["prompt"] == prompt
