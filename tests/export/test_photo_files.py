"""Photographs as other programs find them: which need a copy, and what the copies are."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from gs_esd.errors import UserError
from gs_esd.export.photo_files import PhotoFiles, readable_files, relative_path

ORIENTATION = 0x0112


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "photos" / "sub").mkdir(parents=True)
    return tmp_path / "photos"


def photo_files(folder: Path, *names: str) -> PhotoFiles:
    return PhotoFiles(folder, names, torch.tensor([[40, 20]] * len(names)))


def save(path: Path, orientation: int = 1) -> None:
    """A photograph of 40 × 20 once it is upright, red on its left."""
    upright = Image.new("RGB", (40, 20), "blue")
    upright.paste("red", (0, 0, 20, 20))
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = upright.transpose(Image.Transpose.ROTATE_90) if orientation == 6 else upright
    stored.save(path, exif=exif)


def test_upright_files_stay_where_they_are(folder: Path, tmp_path: Path) -> None:
    for name in ("a.png", "sub/b.jpg"):
        save(folder / name)
    files = photo_files(folder, "a.png", "sub/b.jpg")
    assert readable_files(files, tmp_path / "images") is files
    assert not (tmp_path / "images").exists()


@pytest.mark.parametrize(
    ("name", "orientation", "copy"),
    [
        ("turned.jpg", 6, "turned.jpg"),
        ("two words.jpg", 1, "two_words.jpg"),
        ("sub/x.webp", 1, "sub/x.jpg"),
    ],
)
def test_one_unreadable_file_makes_copies_of_all(
    name: str, orientation: int, copy: str, folder: Path, tmp_path: Path
) -> None:
    save(folder / "a.jpg")
    save(folder / name, orientation)
    files = readable_files(photo_files(folder, "a.jpg", name), tmp_path / "images")
    assert files.names == ("a.jpg", copy)
    for i in range(2):
        with Image.open(files.path(i)) as image:
            assert image.size == (40, 20)
            assert image.getexif().get(ORIENTATION, 1) == 1
            assert image.convert("RGB").getpixel((5, 10))[0] > 200


def test_copies_of_equal_names_are_kept_apart(folder: Path, tmp_path: Path) -> None:
    for name in ("x y.jpg", "x_y.jpg"):
        save(folder / name)
    files = readable_files(photo_files(folder, "x y.jpg", "x_y.jpg"), tmp_path / "images")
    assert files.names == ("x_y.jpg", "x_y_2.jpg")


def test_copies_of_frames_come_from_the_given_reader(tmp_path: Path) -> None:
    files = photo_files(tmp_path, "spin.mp4 0001", "spin.mp4 0002")
    copies = readable_files(
        files, tmp_path / "images", lambda name: Image.new("RGBA", (40, 20), (0, 9, 0, 128))
    )
    with Image.open(copies.path(1)) as image:
        assert image.getpixel((0, 0)) == (0, 9, 0, 128)


def test_missing_photograph(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no\.webp cannot be read"):
        readable_files(photo_files(folder, "no.webp"), tmp_path / "images")


def test_relative_path_of_a_linked_folder(folder: Path, tmp_path: Path) -> None:
    save(folder / "a.png")
    (tmp_path / "deep" / "run").mkdir(parents=True)
    (tmp_path / "run").symlink_to(tmp_path / "deep" / "run")
    path = relative_path(folder / "a.png", tmp_path / "run")
    assert (tmp_path / "run" / path).is_file()
