"""Training images: backgrounds, and the bias of the cameras."""

import pytest
import torch

from gs_esd.cameras.view_names import VIEW_NAMES
from gs_esd.toyzoo import training_images
from gs_esd.toyzoo.prompt import ZooSubject
from gs_esd.toyzoo.training_images import draw_zoo, on_background


def test_on_background_compositing() -> None:
    rgba = torch.zeros(1, 4, 2, 2, dtype=torch.uint8)
    rgba[:, :, 0, 0] = torch.tensor([255, 0, 0, 255], dtype=torch.uint8)
    image = on_background(rgba, torch.tensor([0.0, 0.5, 1.0]))[0]
    assert image[:, 0, 0].tolist() == [1, -1, -1]
    assert image[:, 1, 1].tolist() == [-1, 0, 1]


def test_draw_zoo_front_bias(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_images, "subjects", lambda: [ZooSubject("owl")])
    (owls,) = draw_zoo(
        400, 1, 8, front_bias=1.0, generator=torch.Generator().manual_seed(0), threads=1
    )
    front, back = ((owls.views == VIEW_NAMES.index(name)).sum() for name in ("front", "back"))
    assert owls.rgba.shape == (400, 4, 8, 8)
    assert front > 3 * back
