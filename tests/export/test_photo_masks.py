"""Masks: in the size and under the name of the photograph, at the place of its square."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gs_esd.export.photo_files import PhotoFiles
from gs_esd.export.photo_masks import mask_of_square, save_masks


@pytest.mark.parametrize(
    ("crop", "size"),
    [((10.0, 4.0, 64.0), (100, 80)), ((-7.5, -3.0, 96.0), (80, 90)), ((3.0, 2.0, 16.0), (24, 20))],
)
def test_mask_is_where_the_square_is(
    crop: tuple[float, float, float], size: tuple[int, int]
) -> None:
    alpha = torch.zeros(32, 32)
    alpha[8:24, 12:20] = 1
    mask = np.array(mask_of_square(alpha, torch.tensor(crop), torch.tensor(size)))
    assert mask.shape == (size[1], size[0])
    assert set(np.unique(mask)) == {0, 255}
    left, top, side = crop
    x, y = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5
    u, v = (x - left) * 32 / side, (y - top) * 32 / side
    expected = ((u > 12) & (u < 20))[None] & ((v > 8) & (v < 24))[:, None]
    assert ((mask > 0) != expected).mean() < 0.005


def test_nothing_beyond_the_square() -> None:
    mask = mask_of_square(
        torch.ones(8, 8), torch.tensor([10.0, 10.0, 16.0]), torch.tensor([40, 40])
    )
    assert mask.getbbox() == (10, 10, 26, 26)


def test_names_follow_the_photographs(tmp_path: Path) -> None:
    files = PhotoFiles(tmp_path, ("a.jpg", "sub/b.png"), torch.tensor([[9, 5], [7, 6]]))
    alpha, crops = torch.ones(2, 4, 4), torch.tensor([[0.0, 0, 9], [0, 0, 7]])
    assert save_masks(tmp_path / "masks", files, alpha, crops) == ("a.jpg.png", "sub/b.png.png")
    with Image.open(tmp_path / "masks" / "sub" / "b.png.png") as mask:
        assert (mask.mode, mask.size) == ("L", (7, 6))
