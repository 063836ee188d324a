"""Views by the names of subfolders (gs_esd/priors/view_folders.py)."""

import pytest

from gs_esd.cameras.view_names import VIEW_NAMES
from gs_esd.errors import UserError
from gs_esd.priors.view_folders import view_labels


def test_view_labels() -> None:
    names = ("back/2.png", "front/0.png", "front/4.png", "Side/3.png", "all/side/1.png")
    labels = view_labels(names)
    assert [VIEW_NAMES[i] for i in labels] == ["back", "front", "front", "side", "side"]


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (("front/0.png", "side/1.png"), "without images: back"),
        (("front/0.png", "side/1.png", "back/2.png", "top/3.png"), "in another folder: top/3.png"),
        (("front/0.png", "side/1.png", "back/2.png", "3.png"), "in another folder: 3.png"),
    ],
)
def test_missing_and_unknown_views(names: tuple[str, ...], problem: str) -> None:
    with pytest.raises(UserError, match=f"subfolders front, side, back; {problem}"):
        view_labels(names)
