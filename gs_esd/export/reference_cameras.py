"""cameras.json: cameras in the format of 3D Gaussian splatting's reference code.

Its `camera_to_JSON` (utils/camera_utils.py of graphdeco-inria/gaussian-splatting) writes a list of
objects with id, img_name, width, height, position, rotation, fy and fx: the camera's centre, and
the rotation from OpenCV's camera axes to the world, row by row. Its viewer and those for browsers
read that together with the splats, so the world has the axes of splats.ply. That format puts the
principal point into the middle of the image, where that of a photograph need not be: cx and cy are
ours, which other programs pass over.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gs_esd.errors import UserError
from gs_esd.export.axes import FileAxes
from gs_esd.export.frames import FILE_FROM_WORLD
from gs_esd.system.atomic import atomic_write


@dataclass(frozen=True)
class OriginalCameras:
    """Cameras of M photographs, in their own pixels, as in cameras.json but in world axes.

    Attributes:
        names: of the photographs, relative to their folder.
        viewmats: world-to-camera, OpenCV axes, in float64.
        Ks: intrinsics in pixels of the photographs, in float64.
        sizes: width and height in pixels.
    """

    names: tuple[str, ...]
    viewmats: Float[Tensor, "M 4 4"]
    Ks: Float[Tensor, "M 3 3"]
    sizes: Int[Tensor, "M 2"]

    @property
    def positions(self) -> Float[Tensor, "M 3"]:
        """Centres in the world."""
        return camera_to_world(self.viewmats)[:, :3, 3]

    @property
    def azimuth(self) -> Float[Tensor, " M"]:
        """Where each camera stands that faces the origin in the same direction, in radians."""
        backward = -self.viewmats[:, 2, :3]
        return torch.atan2(backward[:, 1], backward[:, 0])

    @property
    def elevation(self) -> Float[Tensor, " M"]:
        """The same for the angle above the ground, in radians."""
        return -self.viewmats[:, 2, 2].clamp(-1, 1).asin()


def camera_to_world(viewmats: Float[Tensor, "M 4 4"]) -> Float[Tensor, "M 4 4"]:
    """Inverses of rigid world-to-camera matrices."""
    inverse = torch.eye(4).to(viewmats).repeat(len(viewmats), 1, 1)
    inverse[:, :3, :3] = viewmats[:, :3, :3].mT
    inverse[:, :3, 3] = -(viewmats[:, :3, :3].mT @ viewmats[:, :3, 3:])[:, :, 0]
    return inverse


def save_cameras_json(
    path: Path, cameras: OriginalCameras, axes: FileAxes = FileAxes.y_down
) -> None:
    """Write cameras.json.

    Args:
        path: file to write; an old one is replaced only when all is written.
        cameras: what to write.
        axes: of the world in the file: those of the splats beside it.

    Raises:
        UserError: the folder cannot be written.
    """
    turned = FILE_FROM_WORLD[axes].double() @ camera_to_world(cameras.viewmats)[:, :3]
    entries = [
        {
            "id": i,
            "img_name": cameras.names[i],
            "width": int(cameras.sizes[i, 0]),
            "height": int(cameras.sizes[i, 1]),
            "position": turned[i, :, 3].tolist(),
            "rotation": turned[i, :, :3].tolist(),
            "fy": float(cameras.Ks[i, 1, 1]),
            "fx": float(cameras.Ks[i, 0, 0]),
            "cx": float(cameras.Ks[i, 0, 2]),
            "cy": float(cameras.Ks[i, 1, 2]),
        }
        for i in range(len(cameras.names))
    ]
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(entries, indent=1, ensure_ascii=False), encoding="utf-8")


def load_cameras_json(path: Path, axes: FileAxes = FileAxes.y_down) -> OriginalCameras:
    """Read cameras.json, ours or another program's; without cx and cy they are in the middle.

    Args:
        path: the file.
        axes: of the world in it.

    Raises:
        UserError: the file is missing, or is no cameras.json.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        if not (isinstance(entries, list) and entries):
            raise ValueError("it is no list of cameras")
        poses = torch.tensor(
            [[[*r, t] for r, t in zip(e["rotation"], e["position"], strict=True)] for e in entries],
            dtype=torch.float64,
        )  # [M, 3, 4]
        matrices = torch.tensor([_matrix(e) for e in entries], dtype=torch.float64)
        names = tuple(str(e["img_name"]) for e in entries)
        sizes = torch.tensor([[int(e["width"]), int(e["height"])] for e in entries])
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise UserError(
            f"{path} is no readable cameras.json ({error}). Give the run directory of a finished "
            "run of prior=images, which has one."
        ) from error
    world = FILE_FROM_WORLD[axes].double().T @ poses
    pose = torch.eye(4, dtype=torch.float64).repeat(len(world), 1, 1)
    pose[:, :3] = world
    return OriginalCameras(names, camera_to_world(pose), matrices, sizes)


def _matrix(entry: Mapping[str, Any]) -> list[list[float]]:
    cx = entry.get("cx", entry["width"] / 2)
    cy = entry.get("cy", entry["height"] / 2)
    return [[entry["fx"], 0.0, cx], [0.0, entry["fy"], cy], [0.0, 0.0, 1.0]]
