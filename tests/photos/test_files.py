"""Which photographs a folder has (gs_esd/photos/files.py)."""

import os
from pathlib import Path

import pytest

from gs_esd.errors import UserError
from gs_esd.photos import files
from gs_esd.photos.files import chosen_evenly, list_photos, natural_key, photo_path


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def names_of(folder: Path) -> list[str]:
    return [file.relative_to(folder).as_posix() for file in list_photos(folder)]


def test_list_photos(tmp_path: Path) -> None:
    photos = ["a.JPG", "b.png", "e.gif", "f.bmp", "g.TIFF", "sub/c.jpeg", "sub/deep/d.WebP"]
    others = ["notes.txt", "truth.json", "Thumbs.db", ".hidden.png", "sub/._c.jpeg"]
    skipped = ["__MACOSX/b.png", ".thumbnails/b.png"]
    touch(tmp_path, *photos, *others, *skipped)
    (tmp_path / "folder.png").mkdir()
    assert names_of(tmp_path) == photos


def test_natural_order(tmp_path: Path) -> None:
    names = ["1.png", "2.png", "10.png", "a1b2.png", "a1b10.png", "shot 9/1.png", "shot 10/1.png"]
    touch(tmp_path, *names)
    assert names_of(tmp_path) == names


def test_natural_key_of_unusual_digits() -> None:
    """Superscripts are digits to Python, and no numbers."""
    assert natural_key(Path("a².png")) < natural_key(Path("b.png"))


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_photos(tmp_path: Path, n: int) -> None:
    touch(tmp_path, *(f"{i}.png" for i in range(n)))
    with pytest.raises(UserError, match=rf"in {tmp_path} is {n}; at least 2 are needed"):
        list_photos(tmp_path)


def test_conversion_of_formats_that_are_not_read(tmp_path: Path) -> None:
    touch(tmp_path, "1.CR2", "2.CR2", "x.psd", "spin.mp4")
    with pytest.raises(UserError) as caught:
        list_photos(tmp_path)
    message = str(caught.value)
    assert "2 .CR2 (1.CR2): develop RAW" in message
    assert "1 .psd (x.psd): convert them to PNG or JPEG" in message
    assert f"prior.path={tmp_path}/spin.mp4" in message


def test_warning_of_formats_that_are_not_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    touch(tmp_path, "1.jpg", "2.jpg", "3.nef", "1.nef", "2.mov")
    assert names_of(tmp_path) == ["1.jpg", "2.jpg"]
    [record] = caplog.records
    assert "1 .nef (3.nef)" in record.getMessage()  # 1.nef is the RAW file of 1.jpg
    assert ".mov" not in record.getMessage()


def test_heic_without_pillow_heif(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "find_spec", lambda _: None)
    touch(tmp_path, "1.jpg", "1.heic", "2.jpg")
    assert names_of(tmp_path) == ["1.jpg", "2.jpg"]
    touch(tmp_path, "3.HEIC", "4.HEIC")
    with pytest.raises(UserError, match=r"2 \.HEIC.*pip install .*photos.*convert them to JPEG"):
        list_photos(tmp_path)


def test_heic_with_pillow_heif(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "find_spec", lambda _: object())
    touch(tmp_path, "1.heic", "2.HEIC")
    assert names_of(tmp_path) == ["1.heic", "2.HEIC"]


def test_symbolic_links(tmp_path: Path) -> None:
    folder, elsewhere = tmp_path / "photos", tmp_path / "elsewhere"
    touch(elsewhere, "1.png", "2.png")
    touch(folder, "0.png")
    (folder / "linked").symlink_to(elsewhere)
    (folder / "again").symlink_to(elsewhere)
    (folder / "loop").symlink_to(folder)
    (folder / "dangling.png").symlink_to(tmp_path / "missing.png")
    (folder / "file.png").symlink_to(elsewhere / "1.png")
    assert names_of(folder) == ["0.png", "again/1.png", "again/2.png", "file.png"]


def test_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "photos").mkdir()
    assert photo_path("~/photos") == tmp_path / "photos"


@pytest.mark.parametrize("path", ["", " "])
def test_empty_path(path: str) -> None:
    with pytest.raises(UserError, match=r"prior\.path is empty .*unset variable"):
        photo_path(path)


def test_path_of_a_file(tmp_path: Path) -> None:
    touch(tmp_path, "spin.MP4", "a.png")
    assert photo_path(str(tmp_path / "spin.MP4")) == tmp_path / "spin.MP4"
    with pytest.raises(UserError, match="neither a folder nor a video"):
        photo_path(str(tmp_path / "a.png"))
    with pytest.raises(UserError, match=r"spin\.mov is not a folder"):
        photo_path(os.fspath(tmp_path / "spin.mov"))


@pytest.mark.parametrize(("n", "most"), [(5, 9), (9, 9), (10, 9), (100, 7)])
def test_chosen_evenly(n: int, most: int) -> None:
    chosen = chosen_evenly(n, most)
    assert len(chosen) == min(n, most)
    assert chosen[0] == 0
    gaps = [b - a for a, b in zip(chosen, [*chosen[1:], n], strict=True)]
    assert max(gaps) - min(gaps) <= 1
