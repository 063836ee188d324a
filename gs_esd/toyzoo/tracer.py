"""Ray tracer for painted ellipsoids: exact silhouettes, nearest hits, antialiased RGBA.

Notation
    B, H, W    cameras, image height and width; k × k samples a pixel
    p          (i, j, 1), a position on the image in pixels
    d = D p    the ray through p, scaled to depth 1, so that its parameter t is depth
    o          where the camera stands
    q          unit sphere coordinates of a part: q = A (o + t d − c) = m + t N p,
               with m = A (o − c) and N = A D

A ray meets the part where |q|² = 1, that is a t² + 2 b t + e = 0 with a = |N p|², b = m·N p and
e = |m|² − 1. Its discriminant b² − a e = pᵀ S p, with S = Nᵀ(m mᵀ − e 1)N, is the conic of the
silhouette: on an image row it is a quadratic in i, whose roots bound the samples that hit. The
near hit has 1/t = (√disc − b)/e. Samples outside are never tested.

Shading is a wrapped Lambert term of a light l fixed to the world: the colour of a surface point
does not depend on the view, as in a splat of degree 0. The normal is n = Aᵀq, so that n·l = q·Al;
and as A is a rotation under a stretch, |n|² = Σ w q² with w the diagonal of A Aᵀ.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from gs_esd.cameras.orbit import Cameras
from gs_esd.render.cpu.jit.kernel_cache import kernel
from gs_esd.toyzoo.animal import Animal

SHADED_BRIGHTNESS = 0.50
"""Of a surface that faces away from the light."""
LIT_BRIGHTNESS = 1.06
"""Of one that faces it; slightly above 1, so that bright spots saturate."""

_jit = kernel(fastmath=True, error_model="numpy")


def trace(
    animal: Animal, cameras: Cameras, *, supersampling: int = 2, threads: int = 1
) -> Float[Tensor, "B H W 4"]:
    """Draw an animal as premultiplied RGBA in [0, 1], display sRGB, on the CPU.

    Args:
        animal: from `build_animal`.
        cameras: pinhole cameras with the unit ball wholly in front of them.
        supersampling: k, samples along each side of a pixel.
        threads: images drawn at the same time.

    Raises:
        ValueError: the unit ball is not wholly in front of a camera, or a number is below 1.
    """
    if supersampling < 1 or threads < 1:
        raise ValueError(
            f"supersampling and threads must be at least 1, got {supersampling} and {threads}"
        )
    origins, rays = _rays(cameras)
    out = np.empty((len(origins), cameras.height, cameras.width, 4), dtype=np.float32)

    def draw(index: int) -> None:
        _draw(animal, origins[index], rays[index], supersampling, out[index])

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(draw, range(len(origins))))
    return torch.from_numpy(out)


def _rays(
    cameras: Cameras,
) -> tuple[Float[np.ndarray, "B 3"], Float[np.ndarray, "B 3 3"]]:
    """Camera positions o and the matrices D that map image positions to rays."""
    viewmats = cameras.viewmats.detach().cpu().double().numpy()
    Ks = cameras.Ks.detach().cpu().double().numpy()
    nearest = viewmats[:, 2, 3].min(initial=np.inf)
    if nearest <= 1.0:
        raise ValueError(
            f"cameras must have the whole unit ball in front of them: the origin lies at depth "
            f"{nearest:.3g}, at least 1 is needed; move the cameras away"
        )
    world_from_camera = viewmats[:, :3, :3].transpose(0, 2, 1)
    origins = -(world_from_camera @ viewmats[:, :3, 3:])[:, :, 0]
    rays = world_from_camera @ np.linalg.inv(Ks)
    return np.ascontiguousarray(origins), np.ascontiguousarray(rays)


@_jit
def _draw(animal: Animal, origin: np.ndarray, ray: np.ndarray, k: int, out: np.ndarray) -> None:
    """Draw one image [H, W, 4]: find the nearest part at every sample, then shade and average."""
    height, width = out.shape[0] * k, out.shape[1] * k
    closeness = np.zeros((height, width))  # 1/depth; 0 is infinitely far
    owner = np.full((height, width), -1, dtype=np.int32)
    parts = _view_parts(animal, origin, ray)
    for part in range(len(parts)):
        _scan(part, parts[part], k, closeness, owner)
    first_patch, patches, colors = animal.first_patch, animal.patches, animal.colors
    weight = 1.0 / (k * k)
    out[:] = 0.0
    for i in range(height):
        for j in range(width):
            part = owner[i, j]
            if part < 0:
                continue
            x, y, depth = (j + 0.5) / k, (i + 0.5) / k, 1.0 / closeness[i, j]
            red, green, blue = _shade(parts, colors, first_patch, patches, part, x, y, depth)
            row, column = i // k, j // k
            out[row, column, 0] += red * weight
            out[row, column, 1] += green * weight
            out[row, column, 2] += blue * weight
            out[row, column, 3] += weight


@_jit
def _view_parts(animal: Animal, origin: np.ndarray, ray: np.ndarray) -> np.ndarray:
    """Each part as seen by one camera: a row of N, m, A l and w (3 × 3, 3, 3 and 3 numbers)."""
    parts = np.zeros((len(animal.centers), 18))
    for part in range(len(parts)):
        for i in range(3):
            for j in range(3):
                a = animal.unit_from_world[part, i, j]
                for column in range(3):
                    parts[part, 3 * i + column] += a * ray[j, column]
                parts[part, 9 + i] += a * (origin[j] - animal.centers[part, j])
                parts[part, 12 + i] += a * animal.light[j]
                parts[part, 15 + i] += a * a
    return parts


@_jit
def _scan(part: int, view: np.ndarray, k: int, closeness: np.ndarray, owner: np.ndarray) -> None:
    """Enter one part into the depth buffer, row by row between the edges of its silhouette."""
    height, width = closeness.shape
    N, m = view[:9].reshape(3, 3), view[9:12]
    e = m[0] * m[0] + m[1] * m[1] + m[2] * m[2] - 1.0
    b = m[0] * N[0] + m[1] * N[1] + m[2] * N[2]  # so that b·p is the b of the header
    S = np.outer(b, b)
    for i in range(3):
        S -= e * np.outer(N[i], N[i])
    for row in range(height):
        y = (row + 0.5) / k
        half = S[0, 1] * y + S[0, 2]
        rest = (S[1, 1] * y + 2.0 * S[1, 2]) * y + S[2, 2]
        spread = half * half - S[0, 0] * rest
        if spread <= 0.0:
            continue
        edge = np.sqrt(spread)  # S[0, 0] < 0: the silhouette is an ellipse
        first = max(int(np.ceil((edge - half) / S[0, 0] * k - 0.5)), 0)
        last = min(int(np.floor((-edge - half) / S[0, 0] * k - 0.5)), width - 1)
        for column in range(first, last + 1):
            x = (column + 0.5) / k
            disc = max((S[0, 0] * x + 2.0 * half) * x + rest, 0.0)
            near = (np.sqrt(disc) - b[0] * x - b[1] * y - b[2]) / e
            if near > closeness[row, column]:
                closeness[row, column] = near
                owner[row, column] = part


@_jit
def _shade(
    parts: np.ndarray,
    colors: np.ndarray,
    first_patch: np.ndarray,
    patches: np.ndarray,
    part: int,
    x: float,
    y: float,
    depth: float,
) -> tuple[float, float, float]:
    """Colour of a part where the ray through (x, y) hits it."""
    q0 = parts[part, 9] + depth * (parts[part, 0] * x + parts[part, 1] * y + parts[part, 2])
    q1 = parts[part, 10] + depth * (parts[part, 3] * x + parts[part, 4] * y + parts[part, 5])
    q2 = parts[part, 11] + depth * (parts[part, 6] * x + parts[part, 7] * y + parts[part, 8])
    along = parts[part, 12] * q0 + parts[part, 13] * q1 + parts[part, 14] * q2
    square = parts[part, 15] * q0 * q0 + parts[part, 16] * q1 * q1 + parts[part, 17] * q2 * q2
    contrast = LIT_BRIGHTNESS - SHADED_BRIGHTNESS
    brightness = SHADED_BRIGHTNESS + contrast * 0.5 * (1.0 + along / np.sqrt(square))
    red, green, blue = colors[part, 0], colors[part, 1], colors[part, 2]
    for patch in range(first_patch[part], first_patch[part + 1]):
        u = (q0 - patches[patch, 0]) / patches[patch, 3]
        v = (q1 - patches[patch, 1]) / patches[patch, 4]
        w = (q2 - patches[patch, 2]) / patches[patch, 5]
        if u * u + v * v + w * w < 1.0:
            red, green, blue = patches[patch, 6], patches[patch, 7], patches[patch, 8]
    return min(brightness * red, 1.0), min(brightness * green, 1.0), min(brightness * blue, 1.0)
