"""Evaluate a run on photographs whose true azimuths are known: `gs-esd eval RUN --truth FILE`.

Compared are the cameras of cameras.json with the truth, and renderings of the splats with the
photographs. Nothing in a run has seen the truth, whose zero and direction are arbitrary: all
numbers are up to one rotation and sign.

Notation
    M       photographs with a true azimuth
    S       renderings
    P       pixels a side of a silhouette that is compared
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import ParameterDict

from gs_esd.cameras.orbit import orbit_cameras
from gs_esd.errors import UserError
from gs_esd.evaluation.sides import azimuth_errors, coherence, count_in_place
from gs_esd.export.camera_files import CAMERAS, TRANSFORMS
from gs_esd.export.images import to_bytes
from gs_esd.export.ply import load_splats
from gs_esd.export.reference_cameras import OriginalCameras, load_cameras_json
from gs_esd.render.renderings import render

SIDES = 16
"""Renderings around the object, at the median elevation and distance of the cameras."""
RENDERED_PIXELS = 128
COMPARED_PIXELS = 48
"""P, of silhouettes cropped to their bounding boxes."""
MAX_PHOTO_PIXELS = 512
"""Longer side to which photographs are reduced."""
MARGIN = 1.2
"""Of the field of view of renderings, over that in which the unit ball fits."""
CLOSE_DEG = 10.0
"""Azimuths with a smaller error are counted."""


@dataclass(frozen=True)
class PhotographMeasures:
    """How well a run on photographs agrees with the truth.

    Attributes:
        photographs: M, those with a true azimuth.
        azimuth_coherence: of the cameras; see gs_esd/evaluation/sides.py.
        azimuth_error_deg: the median error of the cameras' azimuths.
        azimuth_within_10_deg: the share of errors below 10°.
        sides_in_place: renderings whose nearest photograph belongs within 30° of there; None if a
            photograph is not where transforms.json says.
        sides: SIDES.
    """

    photographs: int
    azimuth_coherence: float
    azimuth_error_deg: float
    azimuth_within_10_deg: float
    sides_in_place: int | None
    sides: int = SIDES


def read_truth(path: Path) -> dict[str, float]:
    """Read a JSON object of azimuths in degrees by file name.

    Raises:
        UserError: the file is missing or is none.
    """
    try:
        truth = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): float(degrees) for name, degrees in truth.items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f'--truth {path} cannot be read ({error}): it is to be JSON such as {{"a.jpg": 0, '
            '"b.jpg": 10}, azimuths in degrees by file name'
        ) from error


def measure_photographs(run_dir: Path, truth: Mapping[str, float]) -> PhotographMeasures:
    """Compare a run's cameras and splats with true azimuths in degrees.

    Args:
        run_dir: a finished run on photographs.
        truth: by the names in cameras.json, or by their last parts.

    Raises:
        UserError: the run has no cameras, or fewer than two of its photographs have a true azimuth.
    """
    cameras = load_cameras_json(run_dir / CAMERAS)
    found = [_look_up(name, truth) for name in cameras.names]
    with_truth = torch.tensor([i for i, degrees in enumerate(found) if degrees is not None])
    if len(with_truth) < 2:
        raise UserError(
            f"{len(with_truth)} of {len(found)} photographs of {run_dir} are in the truth file, "
            f"where at least 2 are needed: its names must be those of the files, such as "
            f"{cameras.names[0]}"
        )
    azimuths = torch.tensor([d for d in found if d is not None], dtype=torch.float64).deg2rad()
    fitted = cameras.azimuth[with_truth]
    errors = azimuth_errors(fitted, azimuths).rad2deg()
    return PhotographMeasures(
        photographs=len(errors),
        azimuth_coherence=coherence(fitted, azimuths),
        azimuth_error_deg=float(errors.quantile(0.5)),
        azimuth_within_10_deg=float((errors < CLOSE_DEG).double().mean()),
        sides_in_place=_sides_in_place(run_dir, cameras, with_truth.tolist(), azimuths),
    )


def _look_up(name: str, truth: Mapping[str, float]) -> float | None:
    return truth.get(name, truth.get(name.rsplit("/", 1)[-1]))


def _sides_in_place(
    run_dir: Path, cameras: OriginalCameras, chosen: list[int], azimuths: Float[Tensor, " M"]
) -> int | None:
    frames = json.loads((run_dir / TRANSFORMS).read_text(encoding="utf-8"))["frames"]
    paths = [(run_dir / frames[i]["file_path"], run_dir / frames[i]["mask_path"]) for i in chosen]
    if not all(path.is_file() for pair in paths for path in pair):
        return None
    photographs = torch.stack([silhouette(_cut_out(photo, mask)) for photo, mask in paths])
    angles, renderings = _render_sides(load_splats(run_dir / "splats.ply"), cameras)
    rendered = torch.stack([silhouette(image) for image in renderings])
    nearest = torch.cdist(rendered.flatten(1), photographs.flatten(1)).argmin(dim=1)
    return count_in_place(azimuths[nearest], angles.double())


@torch.no_grad()
def _render_sides(
    splats: ParameterDict, cameras: OriginalCameras
) -> tuple[Float[Tensor, " S"], list[Image.Image]]:
    """Azimuths and premultiplied images, at the cameras' median elevation and distance."""
    distance = float(cameras.positions.norm(dim=1).median())
    angles = 2 * math.pi * torch.arange(SIDES) / SIDES
    elevation = torch.full_like(angles, float(cameras.elevation.median()))
    around = orbit_cameras(
        angles,
        elevation,
        distance=distance,
        fov=2 * math.atan(MARGIN / math.sqrt(max(distance, 1.1) ** 2 - 1)),
        resolution=RENDERED_PIXELS,
    )
    renderings = render(splats, around)
    alpha = to_bytes(renderings.alpha.expand_as(renderings.rgb))[..., :1]
    pixels = np.concatenate([to_bytes(renderings.rgb), alpha], axis=-1)
    size = (RENDERED_PIXELS, RENDERED_PIXELS)
    return angles, [Image.frombytes("RGBa", size, image.tobytes()) for image in pixels]


def silhouette(image: Image.Image) -> Float[Tensor, "P P 3"]:
    """A premultiplied image over grey, cropped to a square about what is at least half opaque."""
    box = image.getchannel("a").point(lambda alpha: 255 * (alpha >= 128)).getbbox()
    left, top, right, bottom = box or (0, 0, *image.size)
    half = 0.5 * max(right - left, bottom - top)
    x, y = 0.5 * (left + right), 0.5 * (top + bottom)
    crop = image.crop((round(x - half), round(y - half), round(x + half), round(y + half)))
    resized = crop.resize((COMPARED_PIXELS, COMPARED_PIXELS), Image.Resampling.BILINEAR)
    values = torch.tensor(bytearray(resized.tobytes()), dtype=torch.uint8)
    rgba = values.view(COMPARED_PIXELS, COMPARED_PIXELS, 4).float() / 255
    return rgba[..., :3] + 0.5 * (1 - rgba[..., 3:])


def _cut_out(photo: Path, mask: Path) -> Image.Image:
    """A photograph premultiplied by its mask, with at most MAX_PHOTO_PIXELS a side."""
    size = (MAX_PHOTO_PIXELS, MAX_PHOTO_PIXELS)
    with Image.open(photo) as image, Image.open(mask) as alpha:
        image.draft("RGB", size)  # decodes large JPEGs at a lower resolution
        upright = ImageOps.exif_transpose(image).convert("RGB")
        upright.thumbnail(size, Image.Resampling.BOX)
        upright.putalpha(alpha.resize(upright.size, Image.Resampling.BOX))
    return upright.convert("RGBa")


def as_line(measures: PhotographMeasures) -> dict[str, Any]:
    """The numbers by name, rounded for JSON."""
    return {
        "photographs": measures.photographs,
        "azimuth_coherence": round(measures.azimuth_coherence, 4),
        "azimuth_error_deg": round(measures.azimuth_error_deg, 3),
        "azimuth_within_10_deg": round(measures.azimuth_within_10_deg, 4),
        "sides_in_place": measures.sides_in_place,
        "sides": measures.sides,
    }
