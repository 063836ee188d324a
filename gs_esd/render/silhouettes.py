"""Silhouettes: their boxes to a fraction of a pixel, and cameras that centre and scale them.

A photograph that was cropped around the object, or normalised by its silhouette, no longer shows
where the camera pointed. Renderings can be compared with it after the same has been done to these.

Notation
    box     (x, y, height) of a silhouette as fractions of the frame: its centre relative to that of
            the frame, x to the right and y down, and its height
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import ParameterDict

from gs_esd.cameras.orbit import Cameras
from gs_esd.render.renderings import render

BOX_PIXELS = 48
"""Resolution at which silhouettes of renderings are measured."""
MIN_ALPHA = 1e-3
"""Largest alpha of an image below which it has no silhouette."""
OPAQUE = 0.5
"""Alpha at the edge of a silhouette."""
MIN_HEIGHT = 0.05
"""Boxes of less of the frame, of renderings that show almost nothing, count as this high."""


def silhouette_boxes(alpha: Float[Tensor, "B h w"]) -> Float[Tensor, "B 3"]:
    """Boxes of the pixels with alpha above a half, to a fraction of a pixel.

    An edge is where the largest alpha of rows, or of columns, goes through a half if interpolated
    between their centres. Images without such pixels get the whole frame.
    """
    left, right = _edges(alpha.amax(dim=1))
    top, bottom = _edges(alpha.amax(dim=2))
    height = (bottom - top).clamp(min=MIN_HEIGHT)
    return torch.stack([0.5 * (left + right) - 0.5, 0.5 * (top + bottom) - 0.5, height], dim=1)


def _edges(profile: Float[Tensor, "B n"]) -> tuple[Float[Tensor, " B"], Float[Tensor, " B"]]:
    """First and last crossing of a half along each profile, as fractions of its length."""
    return _first_edge(profile), 1 - _first_edge(profile.flip(1))


def _first_edge(profile: Float[Tensor, "B n"]) -> Float[Tensor, " B"]:
    n = profile.shape[1]
    padded = torch.nn.functional.pad(profile, (1, 0))  # transparent outside of the frame
    is_opaque = padded > OPAQUE
    after = is_opaque.long().argmax(dim=1, keepdim=True).clamp(min=1)
    low, high = padded.gather(1, after - 1)[:, 0], padded.gather(1, after)[:, 0]
    part = (OPAQUE - low) / (high - low).clamp(min=1e-6)
    # Pixel `after` of the padded profile has its centre at after - 1/2.
    edge = ((after[:, 0] - 1.5 + part) / n).clamp(0, 1)
    return torch.where(is_opaque.any(dim=1), edge, torch.zeros_like(edge))


def centre_boxes(cameras: Cameras, boxes: Float[Tensor, "B 3"], height: float) -> Cameras:
    """Cameras whose images are shifted and scaled so that boxes come to the centre of the frame.

    Args:
        cameras: with intrinsics of a square image.
        boxes: of their renderings.
        height: of each box afterwards, as a fraction of the frame.
    """
    scale = height / boxes[:, 2]
    centre = cameras.Ks[:, :2, 2] / cameras.width - 0.5  # [B, 2]
    Ks = cameras.Ks.clone()
    Ks[:, 0, 0] *= scale
    Ks[:, 1, 1] *= scale
    Ks[:, :2, 2] = (0.5 + scale[:, None] * (centre - boxes[:, :2])) * cameras.width
    return replace(cameras, Ks=Ks)


@torch.no_grad()
def frame_by_silhouette(splats: ParameterDict, cameras: Cameras, height: float) -> Cameras:
    """Cameras that see each silhouette in the middle, `height` tall as a fraction of the frame.

    Only the intrinsics change. No gradient flows through them, and a camera that sees nothing stays
    as it is. Faint splats, such as those of the beginning, have their silhouette where they are
    half as opaque as they are at most.

    Args:
        splats: raw parameters, on the cameras' device.
        cameras: square images.
        height: of the silhouette, in (0, 1).
    """
    alpha = render(splats, with_resolution(cameras, BOX_PIXELS)).alpha[..., 0]
    largest = alpha.amax(dim=(1, 2), keepdim=True)
    boxes = silhouette_boxes(alpha / largest.clamp(min=MIN_ALPHA))
    framed = centre_boxes(cameras, boxes, height)
    return replace(framed, Ks=torch.where(largest > MIN_ALPHA, framed.Ks, cameras.Ks))


def with_resolution(cameras: Cameras, resolution: int) -> Cameras:
    """The same square cameras with images of `resolution` pixels a side."""
    scale = torch.tensor([resolution / cameras.width] * 2 + [1.0]).to(cameras.Ks)
    return replace(cameras, Ks=scale[:, None] * cameras.Ks, width=resolution, height=resolution)
