"""A COLMAP model as text: cameras.txt, images.txt and points3D.txt.

As COLMAP's doc/format.rst has it: pinhole cameras (PINHOLE: fx, fy, cx, cy) whose first pixel has
its centre at (0.5, 0.5); an image's pose is the map from the world to OpenCV's camera axes, as a
Hamilton quaternion, wxyz, and a translation, and the list of its keypoints is a line of its own,
here an empty one. Points have no track of keypoints either: they are the centres of the splats,
from which programs of Gaussian splatting start. The world has the axes of splats.ply.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import ParameterDict

from gs_esd.export.axes import FileAxes
from gs_esd.export.frames import FILE_FROM_WORLD
from gs_esd.export.images import to_bytes
from gs_esd.export.photo_files import PhotoFiles
from gs_esd.export.reference_cameras import OriginalCameras
from gs_esd.splats.parameters import SH_Y0
from gs_esd.system.atomic import atomic_write


def save_colmap_model(
    folder: Path,
    cameras: OriginalCameras,
    files: PhotoFiles,
    splats: ParameterDict,
    axes: FileAxes = FileAxes.y_down,
) -> None:
    """Write cameras.txt, images.txt and points3D.txt; photographs with equal intrinsics share one.

    Args:
        folder: of the three files, sparse/0 as a rule; created if need be.
        cameras: of the photographs.
        files: the photographs; their names may not contain spaces, see `readable_files`.
        splats: raw parameters in world axes.
        axes: of the world in the files.

    Raises:
        UserError: a file cannot be written.
    """
    rotation = FILE_FROM_WORLD[axes].double()
    models = [_model(cameras, i) for i in range(len(files.names))]
    distinct = {model: number for number, model in enumerate(dict.fromkeys(models), start=1)}
    folder.mkdir(parents=True, exist_ok=True)
    _write(
        folder / "cameras.txt",
        "CAMERA_ID, MODEL, WIDTH, HEIGHT, PARAMS[]",
        (f"{number} {model}" for model, number in distinct.items()),
    )
    _write(
        folder / "images.txt",
        "IMAGE_ID, QW, QX, QY, QZ, TX, TY, TZ, CAMERA_ID, NAME; then POINTS2D[]",
        _images(cameras, files, [distinct[model] for model in models], rotation),
    )
    _write(
        folder / "points3D.txt",
        "POINT3D_ID, X, Y, Z, R, G, B, ERROR, TRACK[]",
        _points(splats, rotation),
    )


def quat_of_rotation(rotation: Float[Tensor, "3 3"]) -> Float[Tensor, "4"]:
    """The unit quaternion, wxyz with w at least 0, of a rotation matrix.

    It is the eigenvector of the largest eigenvalue of a symmetric matrix, which is well conditioned
    at any angle (Bar-Itzhack 2000, New method for extracting the quaternion from a rotation
    matrix).
    """
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rotation.double().tolist()
    symmetric = torch.tensor(
        [
            [xx + yy + zz, zy - yz, xz - zx, yx - xy],
            [zy - yz, xx - yy - zz, yx + xy, xz + zx],
            [xz - zx, yx + xy, yy - xx - zz, zy + yz],
            [yx - xy, xz + zx, zy + yz, zz - xx - yy],
        ],
        dtype=torch.float64,
    )
    quat = torch.linalg.eigh(symmetric).eigenvectors[:, -1]
    return -quat if quat[0] < 0 else quat


def _model(cameras: OriginalCameras, index: int) -> str:
    """All of a line of cameras.txt but the number."""
    K, (width, height) = cameras.Ks[index], cameras.sizes[index].tolist()
    return f"PINHOLE {width} {height} {_text([K[0, 0], K[1, 1], K[0, 2], K[1, 2]])}"


def _images(
    cameras: OriginalCameras,
    files: PhotoFiles,
    camera_ids: Sequence[int],
    rotation: Float[Tensor, "3 3"],
) -> Iterator[str]:
    for i, (name, viewmat) in enumerate(zip(files.names, cameras.viewmats, strict=True)):
        quat = quat_of_rotation(viewmat[:3, :3] @ rotation.T)
        yield f"{i + 1} {_text([*quat, *viewmat[:3, 3]])} {camera_ids[i]} {name}\n"


def _points(splats: ParameterDict, rotation: Float[Tensor, "3 3"]) -> Iterator[str]:
    means = splats["means"].detach().cpu() @ rotation.float().T
    rgb = to_bytes(0.5 + SH_Y0 * splats["sh0"])[:, 0]
    for i, (mean, color) in enumerate(zip(means.tolist(), rgb.tolist(), strict=True)):
        yield f"{i + 1} {_text(mean)} {' '.join(map(str, color))} 0"


def _text(values: Sequence[float | Tensor]) -> str:
    return " ".join(repr(float(value)) for value in values)


def _write(path: Path, head: str, lines: Iterator[str]) -> None:
    with atomic_write(path) as partial:
        partial.write_text("\n".join([f"# {head}", *lines]) + "\n", encoding="utf-8")
