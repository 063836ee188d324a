import math

import pytest
import torch
from torch.nn.functional import avg_pool2d

from gs_esd.cameras.orbit import Cameras
from gs_esd.registration.photo_cameras import ELEVATION, LOG_LENS, SHIFT_X, CameraParameters
from gs_esd.registration.search import render_rgba
from gs_esd.system.rng import stream
from tests.helpers.turntable_photos import orbit, random_splats, registration_at

SIDE = 48
STEP = 0.01
AZIMUTH = torch.tensor([0.3, 2.0, 4.4])


def displaced(log_lens: float = 0.4) -> CameraParameters:
    """Three cameras with shifts, magnifications and another lens than was assumed."""
    cameras = CameraParameters(registration_at(AZIMUTH, 12), orbit(10))
    draw = stream(0, "test cameras")
    cameras.photo.table[:, SHIFT_X:] += 0.08 * torch.randn(3, 3, generator=draw)
    cameras.photo.table[:, 1] += torch.tensor([0.02, -0.01, 0.03])
    cameras.shared.table[0, LOG_LENS] = log_lens
    return cameras


def trained_rgba(cameras: CameraParameters, splats: torch.nn.ParameterDict) -> torch.Tensor:
    photo, shared = cameras.values(torch.arange(len(cameras)))
    return render_rgba(splats, cameras.cameras(photo, shared, SIDE))


@pytest.mark.parametrize("sh_degree", [0, 2])
def test_rigid_cameras_render_what_the_trained_ones_do(sh_degree: int) -> None:
    cameras, splats = displaced(), random_splats(sh_degree=sh_degree)
    rigid = cameras.photo_cameras(("a", "b", "c"), SIDE)
    batch = Cameras(rigid.viewmats, rigid.Ks, SIDE, SIDE, rigid.azimuth, rigid.elevation)
    with torch.no_grad():
        difference = trained_rgba(cameras, splats) - render_rgba(splats, batch)
    # The renderer blurs by a fixed number of pixels and culls at 1/255, which is all that differs.
    assert difference.abs().max() < 2e-3


def test_viewmats_of_the_result_are_rigid() -> None:
    rotation = displaced().photo_cameras(("a", "b", "c"), SIDE).viewmats[:, :3, :3]
    assert (rotation @ rotation.mT - torch.eye(3)).abs().max() < 1e-5
    assert torch.linalg.det(rotation).tolist() == pytest.approx([1, 1, 1], abs=1e-5)


def test_result_has_the_lens_that_was_found() -> None:
    rigid = displaced(log_lens=0.4).photo_cameras(("a", "b", "c"), SIDE)
    straight = CameraParameters(registration_at(AZIMUTH, 12), orbit(10))
    assumed = straight.photo_cameras(("a", "b", "c"), SIDE)
    ratio = rigid.viewmats[:, 2, 3] / assumed.viewmats[:, 2, 3]
    assert ratio.tolist() == pytest.approx([math.exp(0.4)] * 3, rel=1e-4)


def test_gradients_agree_with_finite_differences() -> None:
    """Of the error of blurred images to those of other cameras, with another elevation and lens."""
    cameras, splats = displaced(), random_splats(12)
    splats["scales"].data += 0.5  # soft images, of which differences are good
    other = displaced(log_lens=0.2)
    other.photo.table += 0.05
    other.shared.table[0, ELEVATION] += 0.1
    target = trained_rgba(other, splats).detach()

    def error(photo: torch.Tensor, shared: torch.Tensor) -> torch.Tensor:
        rgba = render_rgba(splats, cameras.cameras(photo, shared, SIDE))
        return avg_pool2d(rgba - target, 8).square().sum()

    values = cameras.values(torch.arange(3))
    error(*values).backward()
    for which, table in enumerate(values):
        assert table.grad is not None
        slopes = torch.zeros_like(table)
        for row in range(len(table)):
            for column in range(table.shape[1]):
                high, low = (
                    float(error(*moved(values, which, row, column, size)).detach())
                    for size in (STEP, -STEP)
                )
                slopes[row, column] = (high - low) / (2 * STEP)
        assert (table.grad - slopes).norm() < 0.05 * slopes.norm()


def moved(
    values: tuple[torch.Tensor, ...], which: int, row: int, column: int, size: float
) -> list[torch.Tensor]:
    """Copies of parameters, one number of which is moved."""
    copies = [table.detach().clone() for table in values]
    copies[which][row, column] += size
    return copies


def test_cameras_of_a_search_are_the_start() -> None:
    found = registration_at(AZIMUTH, 12)
    cameras = CameraParameters(found, orbit(10))
    assert torch.allclose(cameras.azimuth, AZIMUTH)
    assert cameras.elevation.rad2deg().tolist() == pytest.approx([12] * 3, abs=1e-4)
    assert cameras.log_lens == 0


def test_replaced_rows_alone_change() -> None:
    cameras = displaced()
    before = cameras.photo.table.clone()
    cameras.replace(torch.tensor([1]), registration_at(torch.tensor([1.0, 1.0, 1.0]), 30))
    assert torch.equal(cameras.photo.table[[0, 2]], before[[0, 2]])
    assert float(cameras.azimuth[1]) == pytest.approx(1.0)
    assert float(cameras.elevation[1]) == pytest.approx(math.radians(30), abs=1e-6)


def test_held_azimuths_do_not_move() -> None:
    cameras = displaced()
    cameras.hold_azimuths()
    before = cameras.photo.table.clone()
    cameras.photo.step(torch.ones(3, 5), torch.arange(3), 1.0)
    moved = (cameras.photo.table != before).any(dim=0)
    assert moved.tolist() == [False, True, True, True, True]


def test_state_restores_everything() -> None:
    cameras, other = displaced(), CameraParameters(registration_at(AZIMUTH + 1, 3), orbit(10))
    cameras.photo.step(torch.ones(3, 5), torch.arange(3), 1.0)
    cameras.hold_azimuths()
    other.load_state_dict(cameras.state_dict())
    for each in (cameras, other):
        each.photo.step(torch.ones(2, 5), torch.tensor([0, 2]), 0.5)
    assert torch.equal(cameras.photo.table, other.photo.table)
    assert torch.equal(cameras.shared.table, other.shared.table)
