"""A tiled rasterizer in plain torch: 16 × 16 pixels per tile, blended densely, with autograd.

The baseline of the benchmark. Either tile by tile, as one would write it, or in batches of tiles
padded to the same length, as fast as plain torch could be made: over the benchmark's grid batches
take 0.2 to 0.75 of the time of a loop over tiles. Computing sigma as a matrix product takes 0.8 to
1 of the time of differences of positions, and skipping Gaussians behind finished tiles 0.3 to 1 of
that of blending them. 50,000 Gaussians in 512 × 512 pixels in float64 need 3 GB.

Notation
    N Gaussians, P = 256 pixels of a tile, B tiles of a batch, K the longest list among them.
    M         pairs of a Gaussian and a tile that its box overlaps.
    x, y      position in a tile, in pixels from its centre.
    exponent  log(opacity) - sigma, which is a polynomial in x and y: monomials of the pixels [P, 6]
              times coefficients of the Gaussians [6, K].
    T         transmittance; 1 in front of the first Gaussian.
"""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.nn.functional import hardtanh, pad, threshold

from benchmarks.rasterizer.scene import Scene
from gs_esd.render.cpu.arguments import Settings
from gs_esd.render.cpu.pipeline import Projection
from gs_esd.render.cpu.reference import ALPHA_MAX, ALPHA_MIN, TRANSMITTANCE_MIN, project

TILE = 16
CHUNK = 128  # Gaussians between two checks of which tiles are finished
BATCH = 1 << 20  # numbers per batch: with fewer torch's overhead counts, with more the caches miss
TILE_BY_TILE = 0  # the batch size for one tile at a time


class Thresholds(NamedTuple):
    """Alpha below which a Gaussian is skipped, and T at which a pixel is finished."""

    alpha: float
    transmittance: float


THRESHOLDS = Thresholds(ALPHA_MIN, TRANSMITTANCE_MIN)


class TileLists(NamedTuple):
    """The Gaussians of every tile, nearest first; those of tile t begin at members[starts[t]]."""

    members: Int[Tensor, " M"]
    starts: Int[Tensor, " tiles"]
    counts: Int[Tensor, " tiles"]
    columns: int
    rows: int


class Batch(NamedTuple):
    """Tiles with lists of about the same length.

    splats: mean (2, from the tile's centre), conic (3), opacity and colour (3) of the Gaussians of
        each tile; shorter lists are filled up with ones too faint to be drawn.
    """

    tiles: Int[Tensor, " B"]
    splats: Float[Tensor, "B K 9"]


def rasterization(
    means: Float[Tensor, "N 3"],
    quats: Float[Tensor, "N 4"],
    scales: Float[Tensor, "N 3"],
    opacities: Float[Tensor, " N"],
    colors: Float[Tensor, "N 3"],
    viewmats: Float[Tensor, "1 4 4"],
    Ks: Float[Tensor, "1 3 3"],
    width: int,
    height: int,
    thresholds: Thresholds = THRESHOLDS,
    batch: int = BATCH,
) -> tuple[Float[Tensor, "1 H W 3"], Float[Tensor, "1 H W 1"]]:
    """Image and alphas from one camera, as `gs_esd.render.cpu.rasterization` has them; any dtype.

    batch: numbers of pixel-Gaussian pairs to blend at once, and at least a tile. At least one
        Gaussian has to be visible.
    """
    scene = Scene(means, quats, scales, opacities, colors, viewmats, Ks, width, height)
    lists, batches = make_batches(scene, batch)
    image = _untile([_blend(batch, thresholds) for batch in batches], batches, lists, scene)
    return image[..., :3], image[..., 3:]


@torch.no_grad()
def count_live_pairs(scene: Scene) -> int:
    """Pairs of a Gaussian and a pixel in which it is drawn: alpha ≥ 1/255, and T stays > 1e-4."""
    lists, batches = make_batches(scene)
    counts = []
    for batch in batches:
        drawn = [(weights > 0).sum(-1) for weights, _ in _drawn(batch, THRESHOLDS)]
        counts.append(torch.stack(drawn).sum(0)[..., None])
    return int(_untile(counts, batches, lists, scene).sum())


def make_batches(scene: Scene, size: int = BATCH) -> tuple[TileLists, list[Batch]]:
    """Gather the Gaussians of all tiles that have any, the longest lists first."""
    projection = _project(scene)
    lists = sort_into_tiles(projection, scene.width, scene.height)
    packed = _pack(lists, size, filler=len(scene.means))
    splats = torch.cat(
        [projection.means2d[0], projection.conics[0], scene.opacities[:, None], scene.colors], -1
    )
    splats = pad(splats, (0, 0, 0, 1), value=0.5 * ALPHA_MIN)  # the filler: far too faint
    # One gather for all batches: the gradient of a gather is as large as what it gathers from.
    gathered = splats[torch.cat([members.flatten() for _, members in packed])]
    parts = gathered.split([members.numel() for _, members in packed])
    batches = []
    for (tiles, members), part in zip(packed, parts, strict=True):
        centre = torch.stack([tiles % lists.columns, tiles // lists.columns], -1) * TILE + TILE // 2
        means2d, rest = part.view(*members.shape, 9).split([2, 7], dim=-1)
        batches.append(Batch(tiles, torch.cat([means2d - centre[:, None], rest], dim=-1)))
    return lists, batches


def sort_into_tiles(projection: Projection, width: int, height: int) -> TileLists:
    """Make the depth-ordered list of every tile, which holds all whose box meets the tile."""
    columns, rows = -(-width // TILE), -(-height // TILE)
    radii, means2d = projection.radii[0], projection.means2d[0].detach()
    # As float32, whatever the dtype: a float64 image is then in the same order as the kernels'.
    nearest_first = projection.depths[0].float().argsort(stable=True)
    nearest_first = nearest_first[(radii > 0).all(-1)[nearest_first]]
    centre, reach = means2d[nearest_first], radii[nearest_first]
    first = ((centre - reach) / TILE).floor().clamp(min=0).long()
    end = ((centre + reach) / TILE).ceil().long().minimum(torch.tensor([columns, rows]))
    across, pairs = (end - first)[:, 0], (end - first).prod(-1)
    rank = torch.arange(len(pairs)).repeat_interleave(pairs)  # [M]
    nth = torch.arange(len(rank)) - (pairs.cumsum(0) - pairs)[rank]
    row, column = first[rank, 1] + nth // across[rank], first[rank, 0] + nth % across[rank]
    # Pairs are in order of depth, and a stable sort by tile leaves them so within every tile.
    tile, order = (row * columns + column).sort(stable=True)
    counts = tile.bincount(minlength=columns * rows)
    return TileLists(nearest_first[rank[order]], counts.cumsum(0) - counts, counts, columns, rows)


def _project(scene: Scene) -> Projection:
    """The reference's projection, with `rasterization`'s default settings."""
    settings = Settings(
        width=scene.width,
        height=scene.height,
        near_plane=0.01,
        far_plane=1e10,
        radius_clip=0.0,
        eps2d=0.3,
        packed=False,
        tile_size=TILE,
        render_mode="RGB",
        rasterize_mode="classic",
        absgrad=False,
    )
    splats = (scene.means, scene.quats, scene.scales, scene.opacities)
    return project(*splats, scene.viewmats, scene.Ks, settings)


def _pack(
    lists: TileLists, size: int, filler: int
) -> list[tuple[Int[Tensor, " B"], Int[Tensor, "B K"]]]:
    """Tiles of every batch and their members, short lists filled up."""
    packed = []
    longest_first = lists.counts.argsort(descending=True, stable=True)
    longest_first = longest_first[lists.counts[longest_first] > 0]
    while len(longest_first) > 0:
        K = int(lists.counts[longest_first[0]])
        many = max(1, size // (K * TILE * TILE))
        tiles, longest_first = longest_first[:many], longest_first[many:]
        place = torch.arange(K)
        index = (lists.starts[tiles, None] + place).clamp(max=len(lists.members) - 1)
        present = place < lists.counts[tiles, None]
        packed.append((tiles, torch.where(present, lists.members[index], filler)))
    return packed


def _untile(
    pixels: list[Shaped[Tensor, "B P X"]], batches: list[Batch], lists: TileLists, scene: Scene
) -> Shaped[Tensor, "1 H W X"]:
    """Put the pixels of all batches in their places; zero where a tile is empty."""
    values = torch.cat(pixels)
    grid = values.new_zeros(lists.rows * lists.columns, *values.shape[1:])
    grid = grid.index_copy(0, torch.cat([batch.tiles for batch in batches]), values)
    grid = grid.view(lists.rows, lists.columns, TILE, TILE, -1).transpose(1, 2)
    image = grid.reshape(1, lists.rows * TILE, lists.columns * TILE, -1)
    return image[:, : scene.height, : scene.width]


def _blend(batch: Batch, thresholds: Thresholds) -> Float[Tensor, "B P 4"]:
    """Colour and alpha of every pixel of a batch."""
    pixels = batch.splats.new_zeros(len(batch.tiles), TILE * TILE, 4)
    for weights, colors in _drawn(batch, thresholds):
        pixels = pixels + weights @ pad(colors, (0, 1), value=1.0)
    return pixels


def _drawn(
    batch: Batch, thresholds: Thresholds
) -> Iterator[tuple[Float[Tensor, "B P k"], Float[Tensor, "B k 3"]]]:
    """Weights in every pixel, zero where not drawn, and colours, of a chunk of the lists a time."""
    monomials = _monomials(batch.splats.dtype)
    T = batch.splats.new_ones(len(batch.tiles), TILE * TILE, 1)
    for splats in batch.splats.split(CHUNK, dim=1):
        alpha = (monomials @ _coefficients(splats)).exp()
        alpha = threshold(hardtanh(alpha, 0.0, ALPHA_MAX), thresholds.alpha, 0.0)
        transmittance = torch.cat([T, 1 - alpha], dim=-1).cumprod(-1)
        before, after = transmittance[..., :-1], transmittance[..., 1:]
        yield torch.where(after > thresholds.transmittance, before - after, 0.0), splats[..., 6:]
        T = after[..., -1:]
        if T.detach().max() <= thresholds.transmittance:
            return


def _monomials(dtype: torch.dtype) -> Float[Tensor, "P 6"]:
    """1, x, y, x², x y, y² at the centres of a tile's pixels, row by row."""
    steps = torch.arange(TILE, dtype=dtype) + 0.5 - TILE / 2
    x, y = steps.repeat(TILE), steps.repeat_interleave(TILE)
    return torch.stack([torch.ones_like(x), x, y, x * x, x * y, y * y], dim=-1)


def _coefficients(splats: Float[Tensor, "B k 9"]) -> Float[Tensor, "B 6 k"]:
    """What multiplies the monomials in log(opacity) - sigma."""
    x, y, a, b, c, opacity, *_ = splats.unbind(-1)
    slope_x, slope_y = a * x + b * y, b * x + c * y
    constant = opacity.log() - 0.5 * (slope_x * x + slope_y * y)
    return torch.stack([constant, slope_x, slope_y, -0.5 * a, -b, -0.5 * c], dim=-2)
