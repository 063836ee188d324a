"""Camera features and their embedding."""

import math

import pytest
import torch
from torch import Tensor

from gs_esd.cameras.orbit import Cameras, orbit_cameras
from gs_esd.variational.camera_embedding import CameraEmbedding, camera_features

COND, UNCOND = torch.tensor([False] * 3), torch.tensor([True] * 3)


def _cameras(azimuth: list[float], elevation: float = 0.3, distance: float = 3.0) -> Cameras:
    around = torch.tensor(azimuth)
    return orbit_cameras(
        around, torch.full_like(around, elevation), distance=distance, fov=0.7, resolution=8
    )


def _trained(width: int = 32) -> CameraEmbedding:
    """An embedding whose last layer is not zero."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        embedding = CameraEmbedding(width)
        torch.nn.init.normal_(embedding.out.weight)
    return embedding


def test_zero_initialisation() -> None:
    mixed = torch.tensor([False, True, False])
    rows = CameraEmbedding(32)(_cameras([0.0, 1.0, 2.0]), mixed)
    assert torch.equal(rows, torch.zeros(3, 32))


def test_features_depend_on_angles_only() -> None:
    features = camera_features(_cameras([0.0, 1.0, 2.0]))
    assert features.abs().amax() <= 1
    assert torch.pdist(features).min() > 0.5
    above = camera_features(_cameras([0.0, 1.0, 2.0], elevation=0.6))
    assert (features - above).norm(dim=1).min() > 0.3
    far = camera_features(_cameras([0.0, 1.0, 2.0], distance=30.0))
    assert torch.equal(features, far)
    around = camera_features(_cameras([angle + 2 * math.pi for angle in (0.0, 1.0, 2.0)]))
    torch.testing.assert_close(features, around, atol=1e-5, rtol=0)


def test_null_camera_differs_from_all_cameras() -> None:
    embedding = _trained()
    null = embedding(_cameras([0.0, 1.0, 2.0]), UNCOND)
    assert torch.equal(null, null[:1].expand(3, -1))
    every_degree = _cameras([math.radians(degree) for degree in range(360)])
    rows = embedding(every_degree, torch.zeros(360, dtype=torch.bool))
    between = torch.pdist(rows)
    assert torch.cdist(null[:1], rows).min() > between.median() / 4


@pytest.mark.parametrize(("uncond", "learns"), [(UNCOND, True), (COND, False)])
def test_gradient_of_null_camera(uncond: Tensor, learns: bool) -> None:
    embedding = _trained()
    embedding(_cameras([0.0, 1.0, 2.0]), uncond).square().sum().backward()
    assert embedding.null.grad is not None
    assert bool(embedding.null.grad.any()) == learns
