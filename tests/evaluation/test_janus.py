"""Counting faces: on hand-written circles, and on animals given several faces."""

import math

import pytest
import torch
from torch import Tensor

from gs_esd.evaluation.janus import Faces, count_faces, faces_of_azimuths
from gs_esd.evaluation.zoo import match_views
from gs_esd.toyzoo.animals.catalogue import ANIMALS
from tests.helpers.zoo_renderings import ORBIT, rendered_from

VIEWS = 96
ELEVATION = math.radians(13.7)


def circle(n: int = VIEWS) -> Tensor:
    return 2 * math.pi * torch.arange(n) / n


def faces(text: str) -> Faces:
    """F: a front; .: something else; ?: undecided."""
    return count_faces(
        torch.tensor([c == "F" for c in text]), torch.tensor([c == "." for c in text])
    )


@pytest.mark.parametrize(
    ("text", "lobes"),
    [
        ("F.......", 1),
        ("FF....FF", 1),
        ("F?F.....", 1),
        ("F?.?F?.?", 2),
        ("F.F.F.F.", 4),
        ("FFFFFFFF", 1),
        ("????????", 0),
        ("?....?..", 0),
        ("F???????", 1),
    ],
)
def test_lobes(text: str, lobes: int) -> None:
    assert faces(text).lobes == lobes
    turned = [faces(text[i:] + text[:i]) for i in range(len(text))]
    assert set(turned) == {faces(text)}


@pytest.mark.parametrize(
    ("text", "free"),
    [("FF......", True), ("F...F...", False), ("FFFFFFFF", False), ("........", False)],
)
def test_janus_free(text: str, free: bool) -> None:
    assert faces(text).janus_free is free


def test_front_and_other_at_once() -> None:
    both = torch.tensor([True, False])
    with pytest.raises(ValueError, match="cannot show a front and something else"):
        count_faces(both, both)


@pytest.mark.parametrize("turn", [0.0, 0.4, 3.0])
@pytest.mark.parametrize("lobes", [1, 2, 3, 8])
def test_faces_of_exact_azimuths(lobes: int, turn: float) -> None:
    counted = faces_of_azimuths(lobes * circle() + turn)
    assert counted.lobes == lobes
    assert counted.share == pytest.approx(0.25, abs=0.06)
    assert counted.janus_free is (lobes == 1)


def with_faces(animal: str, lobes: int, turn: float) -> Tensor:
    """Renderings around an object with `lobes` fronts."""
    return rendered_from(lobes * circle() + turn, ELEVATION, animal)


def are_counted(animal: str) -> list[bool]:
    """Whether 1, 2, 3 and 8 faces are counted right on an animal, each turned by some angle."""
    right = []
    for turn, lobes in enumerate((1, 2, 3, 8)):
        seen = match_views(with_faces(animal, lobes, 0.3 + turn), animal, ORBIT).azimuth
        right.append(faces_of_azimuths(seen).lobes == lobes)
    return right


def test_faces_of_corgi() -> None:
    assert all(are_counted("corgi"))


@pytest.mark.slow
def test_faces_of_whole_zoo() -> None:
    right = [each for animal in ANIMALS for each in are_counted(animal)]
    assert sum(right) / len(right) >= 0.98
