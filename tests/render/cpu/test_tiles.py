"""Tile lists and blocks of pixels omit only what is invisible."""

from typing import NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from gs_esd.render.cpu import projection
from gs_esd.render.cpu.arguments import TILE_SIZE, Settings
from gs_esd.render.cpu.blending_forward import blend_forward, make_canvas
from gs_esd.render.cpu.blending_maths import TABLES
from gs_esd.render.cpu.pipeline import Projection
from gs_esd.render.cpu.reference import ALPHA_MIN
from gs_esd.render.cpu.tiles import CHUNK, Splats, TileLists, make_grid, sort_into_tiles
from tests.helpers.rasterization_scenes import Scene, make_scene


class Sorted(NamedTuple):
    """A scene, as its cameras see it, in tiles."""

    projected: Projection
    splats: Splats
    lists: TileLists


def sorted_scene(scene: Scene) -> Sorted:
    """Project a scene and sort it into tiles."""
    settings = Settings(
        scene.width, scene.height, 0.01, 1e10, 0.0, 0.3, False, TILE_SIZE, "RGB", "classic", False
    )
    splats = {name: tensor.float() for name, tensor in scene.splats.items()}
    names = ("means", "quats", "scales", "opacities")
    cameras = (scene.viewmats.float(), scene.Ks.float())
    projected = projection.project(*(splats[name] for name in names), *cameras, settings)
    C, N = projected.depths.shape
    flat = Splats(
        projected.means2d.numpy(),
        projected.conics.numpy(),
        splats["colors"].expand(C, N, 3).contiguous().numpy(),
        splats["opacities"].expand(C, N).contiguous().numpy(),
    )
    grid = make_grid(scene.width, scene.height)
    lists = sort_into_tiles(flat, projected.depths.numpy(), projected.radii.numpy(), grid)
    return Sorted(projected, flat, lists)


def alphas_in_tile(
    scene: Scene, splats: Splats, camera: int, index: int, margin: float
) -> NDArray[np.float64]:
    """Opacity [N, 16, 16] of every Gaussian at a tile's pixels, for sigma less a margin."""
    left, top = np.array([index % -(-scene.width // 16), index // -(-scene.width // 16)]) * 16
    rows, columns = np.mgrid[top : top + 16, left : left + 16] + 0.5
    means = splats.means2d[camera].astype(float)[:, :, None, None]
    a, b, c = splats.conics[camera].astype(float).T[:, :, None, None]
    dx, dy = means[:, 0] - columns, means[:, 1] - rows
    sigma = 0.5 * (a * dx * dx + c * dy * dy) + b * dx * dy
    inside = (rows < scene.height) & (columns < scene.width)
    return splats.opacities[camera][:, None, None] * np.exp(margin - sigma) * inside


@pytest.mark.parametrize(("N", "C"), [(300, 2), (2 * CHUNK + 500, 1)])
def test_lists_are_sorted_and_have_all_visible_gaussians(N: int, C: int) -> None:
    scene = make_scene(N, C, 40, 30)
    projected, splats, lists = sorted_scene(scene)
    assert sorted(lists.work_order) == list(range(C * 6))
    for tile in range(C * 6):
        camera, index = divmod(tile, 6)
        members = lists.members[lists.tile_starts[tile] : lists.tile_starts[tile + 1]]
        keys = [(float(projected.depths[camera, g]), int(g)) for g in members]
        assert keys == sorted(set(keys))
        visible = alphas_in_tile(scene, splats, camera, index, -1e-4).max(axis=(1, 2)) >= ALPHA_MIN
        drawn = (projected.radii[camera] > 0).all(-1).numpy()
        assert set(np.flatnonzero(visible & drawn)) <= set(members)


def test_ties_are_in_order_across_chunks() -> None:
    scene = make_scene(2 * CHUNK + 1, 1, 16, 16)
    scene.splats["means"] = torch.zeros_like(scene.splats["means"])
    _, _, lists = sorted_scene(scene)
    assert len(lists.members) > 2 * CHUNK * 0.9
    assert (np.diff(lists.members) > 0).all()


def test_visited_blocks_have_visible_pixels() -> None:
    scene = make_scene(60, 1, 37, 30)  # few enough that no pixel is finished early
    scene.splats["opacities"] *= 0.5
    _, splats, lists = sorted_scene(scene)
    visited = blend(scene, splats, lists)
    for tile in range(6):
        needed = alphas_in_tile(scene, splats, 0, tile, -1e-4) >= ALPHA_MIN
        tolerated = alphas_in_tile(scene, splats, 0, tile, 1e-4) >= ALPHA_MIN
        for m in range(lists.tile_starts[tile], lists.tile_starts[tile + 1]):
            g = lists.members[m]
            assert blocks_of(needed[g]) & ~int(visited[m]) == 0
            if not tile % 3 == 2 and tile < 3:  # wholly inside the image
                assert int(visited[m]) & ~blocks_of(tolerated[g]) == 0


def blend(scene: Scene, splats: Splats, lists: TileLists) -> NDArray[np.uint32]:
    """The blocks visited in forward blending."""
    visited = np.empty(len(lists.members), np.uint32)
    image = np.empty((1, scene.height, scene.width, 3), np.float32)
    blend_forward(
        0, 1, make_grid(scene.width, scene.height), lists, TABLES, make_canvas(3), splats.colors,
        np.zeros((1, 3), np.float32), None, image, image[..., :1].copy(), visited,
    )  # fmt: skip
    return visited


def blocks_of(pixels: NDArray[np.bool_]) -> int:
    """The blocks of 4 x 2 pixels, counted down the columns, that hold a chosen pixel of a tile."""
    blocks = 0
    for y, x in zip(*np.nonzero(pixels), strict=True):
        blocks |= 1 << int(x // 4 * 8 + y // 2)
    return blocks
