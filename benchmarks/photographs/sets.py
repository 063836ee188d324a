"""Sets of photographs with true azimuths: folders of folders, COIL-100's layout, and subsets.

A set is a folder of image files and NAME.json beside it: azimuths in degrees by file name, up to
one rotation and sign. The program sees the folder alone.
"""

import hashlib
import json
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

COIL_FILE = re.compile(r"obj(?P<number>\d+)__(?P<degrees>\d+)\.png")
"""COIL-100's files: one folder, obj14__0.png to obj14__355.png, azimuths in degrees."""


@dataclass(frozen=True)
class LabelledSet:
    """A folder of photographs of one object, and the azimuth in degrees of each file."""

    name: str
    folder: Path
    truth: dict[str, float]

    @property
    def truth_file(self) -> Path:
        """The file of the truth, beside the folder."""
        return self.folder.with_name(f"{self.folder.name}.json")


def find_sets(folder: Path) -> list[LabelledSet]:
    """All sets right in a folder, by name: folders that have a NAME.json beside them."""
    files = sorted(file for file in folder.glob("*.json") if file.with_suffix("").is_dir())
    return [
        LabelledSet(file.stem, file.with_suffix(""), json.loads(file.read_text("utf-8")))
        for file in files
    ]


def coil_sets(folder: Path, numbers: Iterable[int], work_dir: Path) -> list[LabelledSet]:
    """Copy objects out of a folder in COIL-100's layout, under names that tell no order.

    Args:
        folder: with all the files.
        numbers: of the objects; none for all that are there.
        work_dir: where the sets go.

    Raises:
        ValueError: an object has no files there.
    """
    files: dict[int, list[tuple[float, Path]]] = {}
    for path in sorted(folder.iterdir()):
        if found := COIL_FILE.fullmatch(path.name):
            files.setdefault(int(found["number"]), []).append((float(found["degrees"]), path))
    wanted = list(numbers) or sorted(files)
    if missing := [number for number in wanted if number not in files]:
        raise ValueError(f"{folder} has no files obj{missing[0]}__*.png")
    return [copy_set(f"coil{n}", files[n], work_dir, ordered=False) for n in wanted]


def subset(photos: LabelledSet, work_dir: Path, *, every: int, ordered: bool) -> LabelledSet:
    """Every so many photographs by their azimuth; a copy, unless it is the set itself.

    Args:
        photos: the whole set.
        work_dir: where a copy goes.
        every: 2 takes every second photograph.
        ordered: name the copies in the order of their azimuths.
    """
    if every == 1 and not ordered:
        return photos
    by_azimuth = sorted((degrees, photos.folder / name) for name, degrees in photos.truth.items())
    name = f"{photos.name}-every{every}" if every > 1 else photos.name
    return copy_set(name + "-ordered" * ordered, by_azimuth[::every], work_dir, ordered=ordered)


def copy_set(
    name: str, photos: list[tuple[float, Path]], work_dir: Path, *, ordered: bool
) -> LabelledSet:
    """Copy files into a new set, named in their order or without any order."""
    folder = work_dir / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    truth = {}
    for i, (degrees, path) in enumerate(photos):
        stem = f"{i:04}" if ordered else unordered_name(name, i)
        shutil.copyfile(path, folder / f"{stem}{path.suffix}")
        truth[f"{stem}{path.suffix}"] = degrees
    return save_truth(LabelledSet(name, folder, truth))


def save_truth(photos: LabelledSet) -> LabelledSet:
    """Write the truth beside the folder; returns the set."""
    photos.truth_file.write_text(json.dumps(photos.truth, indent=1), encoding="utf-8")
    return photos


def unordered_name(name: str, index: int) -> str:
    """A file name that is the same every time and whose order tells nothing."""
    return hashlib.sha256(f"{name} {index}".encode()).hexdigest()[:10]
