"""Centre and scale renderings by their silhouettes, as photographs that were framed one by one are.

A photograph that was cropped around the object, or normalised by its silhouette, has lost where the
camera looked. Renderings that are compared with such photographs are framed in the same way.
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import ParameterDict

from gs_esd.cameras.orbit import Cameras
from gs_esd.render.renderings import render

BOX_PIXELS = 48
"""Resolution at which silhouettes are measured, to a fraction of a pixel."""
EDGE = 0.5
"""At an edge: the largest alpha of a row or column, relative to that of the image."""
MIN_ALPHA = 1e-3
"""Largest alpha of an image below which it has no silhouette."""


@torch.no_grad()
def frame_by_silhouette(splats: ParameterDict, cameras: Cameras, height: float) -> Cameras:
    """Cameras that see each silhouette in the middle, `height` tall as a fraction of the frame.

    Only the intrinsics change. No gradient flows through them, and a camera that sees nothing stays
    as it is.

    Args:
        splats: raw parameters, on the cameras' device.
        cameras: square images.
        height: of the silhouette, in (0, 1).
    """
    size = cameras.width
    boxes = silhouette_boxes(render(splats, with_resolution(cameras, BOX_PIXELS)).alpha[..., 0])
    left, top, right, bottom = (size * boxes).unbind(1)
    zoom = height * size / (bottom - top)
    Ks = cameras.Ks.clone()
    Ks[:, 0, 0] *= zoom
    Ks[:, 1, 1] *= zoom
    Ks[:, 0, 2] = 0.5 * size + zoom * (cameras.Ks[:, 0, 2] - 0.5 * (left + right))
    Ks[:, 1, 2] = 0.5 * size + zoom * (cameras.Ks[:, 1, 2] - 0.5 * (top + bottom))
    sees_it = (right > left) & (bottom > top)
    return replace(cameras, Ks=torch.where(sees_it[:, None, None], Ks, cameras.Ks))


def with_resolution(cameras: Cameras, resolution: int) -> Cameras:
    """The same square cameras with images of `resolution` pixels a side."""
    scale = torch.tensor([resolution / cameras.width] * 2 + [1.0]).to(cameras.Ks)
    return replace(cameras, Ks=scale[:, None] * cameras.Ks, width=resolution, height=resolution)


def silhouette_boxes(alpha: Float[Tensor, "B H W"]) -> Float[Tensor, "B 4"]:
    """Bounding boxes (left, top, right, bottom) of silhouettes, as fractions of the image.

    Edges are interpolated between pixels, where the largest alpha of a row or column crosses half
    of the largest of the image. A box is empty (all zeros) where there is no silhouette.
    """
    largest = alpha.amax((1, 2))
    threshold = EDGE * largest[:, None]
    left, right = _extent(alpha.amax(1), threshold)
    top, bottom = _extent(alpha.amax(2), threshold)
    boxes = torch.stack([left, top, right, bottom], dim=1)
    return torch.where((largest > MIN_ALPHA)[:, None], boxes, 0.0)


def _extent(
    profile: Float[Tensor, "B n"], threshold: Float[Tensor, "B 1"]
) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"]]:
    """Where a profile first and last crosses the threshold, as fractions of its length."""
    n = profile.shape[1]
    first = _first_crossing(profile, threshold)
    last = n - _first_crossing(profile.flip(1), threshold)
    return first / n, last / n


def _first_crossing(
    profile: Float[Tensor, "B n"], threshold: Float[Tensor, "B 1"]
) -> Float[Tensor, " B"]:
    """Position in pixels, interpolated between centres; the image's edge for its first pixel."""
    inside = (profile >= threshold).int().argmax(1)
    before = (inside - 1).clamp(min=0)
    rows = torch.arange(len(profile), device=profile.device)
    low, high = profile[rows, before], profile[rows, inside]
    fraction = (threshold[:, 0] - low) / (high - low).clamp(min=MIN_ALPHA)
    return torch.where(inside == 0, 0.0, before + 0.5 + fraction.clamp(0, 1))
