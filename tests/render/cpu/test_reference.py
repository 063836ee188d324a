"""The reference against finite differences, and against properties of the image it defines."""

import math
from typing import Any

import pytest
import torch

from gs_esd.render.cpu.reference import rasterization_reference, rotation_matrices, sh_basis
from tests.helpers.rasterization_scenes import make_scene, with_harmonics


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"rasterize_mode": "antialiased"},
        {"render_mode": "RGB+ED"},
        {"render_mode": "D"},
        {"sh_degree": 3},
        {"sh_degree": 2, "render_mode": "RGB+D", "rasterize_mode": "antialiased"},
    ],
    ids=str,
)
def test_gradients_agree_with_finite_differences(options: dict[str, Any]) -> None:
    # Large, faint Gaussians: no pixel is near a threshold, where the image jumps.
    scene = make_scene(4, 2, 4, 3)
    if "sh_degree" in options:
        with_harmonics(scene)
    scene.splats["scales"] += 0.8
    scene.splats["opacities"] = 0.3 + 0.3 * scene.splats["opacities"]
    inputs = [*scene.splats.values(), scene.viewmats, torch.rand(2, 3).double()]
    inputs = [t.clone().requires_grad_() for t in inputs]

    def image(*args: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        *splats, viewmats, backgrounds = args
        size = (scene.width, scene.height)
        return rasterization_reference(
            *splats, viewmats, scene.Ks, *size, backgrounds=backgrounds, **options
        )[:2]

    assert torch.autograd.gradcheck(image, inputs, fast_mode=True)


def test_one_gaussian_has_the_closed_form() -> None:
    # Isotropic, in front of the camera: variance (focal · scale / depth)² + eps2d on the image.
    means, quats = torch.zeros(1, 3).double(), torch.tensor([[1.0, 0, 0, 0]]).double()
    scales, opacities = torch.full((1, 3), 0.2).double(), torch.tensor([0.7]).double()
    viewmats = torch.eye(4).double()[None]
    viewmats[0, 2, 3] = 2.0
    Ks = torch.tensor([[[10.0, 0, 4.0], [0, 10.0, 3.0], [0, 0, 1]]]).double()
    _, alphas, info = rasterization_reference(
        means, quats, scales, opacities, torch.ones(1, 1).double(), viewmats, Ks, 8, 6
    )
    variance = (10 * 0.2 / 2) ** 2 + 0.3
    dx, dy = torch.arange(8) + 0.5 - 4.0, torch.arange(6) + 0.5 - 3.0
    expected = 0.7 * torch.exp(-(dx**2 + dy[:, None] ** 2) / (2 * variance))
    expected = torch.where(expected >= 1 / 255, expected, 0.0)
    torch.testing.assert_close(alphas[0, ..., 0], expected.double(), atol=1e-7, rtol=1e-6)
    radius = math.ceil(math.sqrt(2 * math.log(255 * 0.7)) * math.sqrt(variance))
    assert info["radii"].tolist() == [[[radius, radius]]]


def test_harmonics_are_orthonormal() -> None:
    # A product grid: Gauss-Legendre in z and even steps around it integrate degree 6 exactly.
    nodes, weights = torch.tensor(
        [
            [-0.9324695142031521, 0.1713244923791704],
            [-0.6612093864662645, 0.3607615730481386],
            [-0.2386191860831969, 0.4679139345726910],
            [0.2386191860831969, 0.4679139345726910],
            [0.6612093864662645, 0.3607615730481386],
            [0.9324695142031521, 0.1713244923791704],
        ],
        dtype=torch.float64,
    ).T
    angles = torch.arange(16).double() * (2 * math.pi / 16)
    ring = (1 - nodes**2).sqrt()[:, None]
    directions = torch.stack(
        [ring * angles.cos(), ring * angles.sin(), nodes[:, None].expand(6, 16)], dim=-1
    )
    basis = sh_basis(3, directions)
    products = torch.einsum("z,zak,zal->kl", weights * 2 * math.pi / 16, basis, basis)
    torch.testing.assert_close(products, torch.eye(16).double(), atol=1e-12, rtol=0)


def test_quaternions_rotate() -> None:
    R = rotation_matrices(torch.randn(10, 4).double() * 3)
    torch.testing.assert_close(R @ R.mT, torch.eye(3).double().expand(10, 3, 3))
    torch.testing.assert_close(torch.linalg.det(R), torch.ones(10).double())
    quarter_turn_about_z = rotation_matrices(torch.tensor([[1.0, 0, 0, 1]]).double())[0]
    expected = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]).double()
    torch.testing.assert_close(quarter_turn_about_z, expected)


def test_absgrad_needs_the_kernels() -> None:
    scene = make_scene(1)
    arguments = (*scene.splats.values(), scene.viewmats, scene.Ks, scene.width, scene.height)
    with pytest.raises(ValueError, match="needs the kernels"):
        rasterization_reference(*arguments, absgrad=True)
