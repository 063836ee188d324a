"""transforms.json: cameras in nerfstudio's format.

As nerfstudio's docs/quickstart/data_conventions.md and its dataparsers/nerfstudio_dataparser.py
have it: camera-to-world matrices, OpenGL's camera axes (x right, y up, z backwards), a world with
z up, the centre of the first pixel at (0.5, 0.5), and paths relative to the file. A key of the
intrinsics is either above all frames or in each of them; here it is in each. The points, from which
its splatfacto starts, are in a file of their own, `ply_file_path`.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from plyfile import PlyData, PlyElement
from torch.nn import ParameterDict

from gs_esd.export.images import to_bytes
from gs_esd.export.photo_files import PhotoFiles, relative_path
from gs_esd.export.reference_cameras import OriginalCameras, camera_to_world
from gs_esd.splats.parameters import SH_Y0
from gs_esd.system.atomic import atomic_write

OPENCV_FROM_OPENGL = torch.tensor([1.0, -1.0, -1.0, 1.0], dtype=torch.float64)
"""Signs of the camera axes; their own inverse."""
COLORS = ("red", "green", "blue")
"""Properties of a vertex, besides x, y and z."""


def save_transforms(
    path: Path,
    cameras: OriginalCameras,
    files: PhotoFiles,
    masks: Sequence[Path],
    points: Path,
) -> None:
    """Write transforms.json.

    Args:
        path: file to write; an old one is replaced only when all is written.
        cameras: of the photographs.
        files: the photographs.
        masks: the mask of each of them.
        points: the file of `save_points`.

    Raises:
        UserError: the folder cannot be written.
    """
    poses = camera_to_world(cameras.viewmats) * OPENCV_FROM_OPENGL
    frames = [
        {
            "file_path": relative_path(files.path(i), path.parent),
            "mask_path": relative_path(masks[i], path.parent),
            **_intrinsics(cameras, i),
            "transform_matrix": poses[i].tolist(),
        }
        for i in range(len(files.names))
    ]
    transforms = {
        "camera_model": "OPENCV",
        "ply_file_path": relative_path(points, path.parent),
        "frames": frames,
    }
    with atomic_write(path) as partial:
        partial.write_text(json.dumps(transforms, indent=1, ensure_ascii=False), encoding="utf-8")


def save_points(path: Path, splats: ParameterDict) -> None:
    """Write the centres of splats as a .ply of coloured points, in world axes.

    Raises:
        UserError: the folder cannot be written.
    """
    means = splats["means"].detach().cpu().numpy()
    rgb = to_bytes(0.5 + SH_Y0 * splats["sh0"])[:, 0]
    vertex = np.empty(
        len(means), dtype=[*((axis, "<f4") for axis in "xyz"), *((c, "u1") for c in COLORS)]
    )
    for i, axis in enumerate("xyz"):
        vertex[axis], vertex[COLORS[i]] = means[:, i], rgb[:, i]
    with atomic_write(path) as partial:
        PlyData([PlyElement.describe(vertex, "vertex")], byte_order="<").write(str(partial))


def _intrinsics(cameras: OriginalCameras, index: int) -> dict[str, Any]:
    K = cameras.Ks[index]
    width, height = cameras.sizes[index].tolist()
    return {
        "fl_x": float(K[0, 0]),
        "fl_y": float(K[1, 1]),
        "cx": float(K[0, 2]),
        "cy": float(K[1, 2]),
        "w": width,
        "h": height,
    }
