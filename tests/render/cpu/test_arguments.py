"""Invalid arguments of the rasterizer raise errors that name what is allowed."""

from dataclasses import replace
from typing import Any, get_args

import pytest
import torch

from gs_esd.render.cpu.arguments import RasterizeMode, Settings, check_choice, check_tensors
from gs_esd.render.cpu.rasterization import rasterization
from tests.helpers.rasterization_scenes import make_scene

SETTINGS = Settings(8, 8, 0.01, 1e10, 0.0, 0.3, False, 16, "RGB", "classic", False)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"packed": True}, "pass packed=False"),
        ({"width": 0}, "must be positive, got 0, 8"),
        ({"near_plane": 0.0}, "0 < near_plane < far_plane"),
        ({"far_plane": 0.001}, "0 < near_plane < far_plane"),
        ({"eps2d": -0.1}, "must not be negative"),
        ({"radius_clip": -1.0}, "must not be negative"),
        ({"tile_size": 8}, "tile_size must be 16, got 8"),
    ],
    ids=str,
)
def test_options(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(SETTINGS, **change)


def test_choices() -> None:
    check_choice("rasterize_mode", "classic", get_args(RasterizeMode))
    with pytest.raises(ValueError, match="mode must be one of 'classic', 'antialiased', got 'x'"):
        check_choice("rasterize_mode", "x", get_args(RasterizeMode))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"means": torch.zeros(4)}, r"means has shape \[4\], expected \[4, 3\]"),
        ({"quats": torch.zeros(4, 3)}, r"quats has shape \[4, 3\], expected \[4, 4\]"),
        ({"scales": torch.zeros(5, 3)}, r"scales has shape \[5, 3\], expected \[4, 3\]"),
        ({"opacities": torch.zeros(4, 1)}, r"opacities has shape \[4, 1\], expected \[4\]"),
        ({"colors": torch.zeros(5, 3)}, r"expected \[4, 3\] or \[2, 4, 3\]"),
        ({"colors": torch.zeros(4, 33)}, "1 to 32 channels, got 33"),
        ({"colors": torch.zeros(4, 3), "sh_degree": 0}, "as SH coefficients, has shape"),
        ({"colors": torch.zeros(4, 3, 3), "sh_degree": 1}, "at least 4 coefficients, got 3"),
        ({"colors": torch.zeros(4, 25, 3), "sh_degree": 4}, "sh_degree must be one of 0, 1, 2, 3"),
        ({"viewmats": torch.zeros(4, 4)}, r"viewmats has shape \[4, 4\], expected \[4, 4, 4\]"),
        ({"Ks": torch.zeros(1, 3, 3)}, r"Ks has shape \[1, 3, 3\], expected \[2, 3, 3\]"),
        ({"backgrounds": torch.zeros(3)}, r"backgrounds has shape \[3\], expected \[2, 3\]"),
        ({"scales": torch.zeros(4, 3).double()}, "scales has dtype torch.float64, expected"),
        ({"means": torch.zeros(4, 3, device="meta")}, "means is on meta; .* expects CPU"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_tensors(change: dict[str, Any], message: str) -> None:
    scene = make_scene(4, 2)
    tensors: dict[str, Any] = {name: t.float() for name, t in scene.splats.items()}
    tensors |= {"viewmats": scene.viewmats.float(), "Ks": scene.Ks.float(), "backgrounds": None}
    arguments = {**tensors, "sh_degree": None, "render_mode": "RGB", "dtype": torch.float32}
    check_tensors(**arguments)
    with pytest.raises(ValueError, match=message):
        check_tensors(**{**arguments, **change})


def test_rasterization_checks_its_arguments() -> None:
    scene = make_scene(4)
    arguments = (*scene.splats.values(), scene.viewmats, scene.Ks, 8, 8)
    with pytest.raises(ValueError, match=r"float64, expected torch\.float32"):
        rasterization(*arguments)
    arguments = tuple(a.float() if isinstance(a, torch.Tensor) else a for a in arguments)
    with pytest.raises(ValueError, match="packed=False"):
        rasterization(*arguments, packed=True)


def test_intrinsics_have_no_gradient() -> None:
    scene = make_scene(4)
    splats = [t.float() for t in scene.splats.values()]
    with pytest.raises(NotImplementedError, match="Ks"):
        rasterization(*splats, scene.viewmats.float(), scene.Ks.float().requires_grad_(), 8, 8)
