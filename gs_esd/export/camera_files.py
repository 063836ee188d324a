"""Camera files of a run on photographs: for viewers, nerfstudio, COLMAP's readers; and masks.

RUN/cameras.json            3D Gaussian splatting's reference code, in the axes of splats.ply
RUN/transforms.json         nerfstudio, z up, with RUN/points.ply
RUN/sparse/0/               a COLMAP model as text, in the axes of splats.ply
RUN/masks/NAME.png          white where the object is
RUN/images/                 only where other programs cannot read the photographs as they are
"""

from collections.abc import Callable
from pathlib import Path

from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor
from torch.nn import ParameterDict

from gs_esd.cameras.photo_cameras import PhotoCameras
from gs_esd.export.colmap_cameras import save_colmap_model
from gs_esd.export.nerfstudio_cameras import save_points, save_transforms
from gs_esd.export.photo_files import PhotoFiles, original_intrinsics, readable_files
from gs_esd.export.photo_masks import save_masks
from gs_esd.export.reference_cameras import OriginalCameras, save_cameras_json

CAMERAS, TRANSFORMS = "cameras.json", "transforms.json"
POINTS, MASKS, IMAGES = "points.ply", "masks", "images"
COLMAP_MODEL = Path("sparse", "0")
"""Where programs of Gaussian splatting look for one."""


def save_camera_files(
    run_dir: Path,
    cameras: PhotoCameras,
    splats: ParameterDict,
    *,
    photo_folder: Path,
    crops: Float[Tensor, "M 3"],
    sizes: Int[Tensor, "M 2"],
    alpha: Float[Tensor, "M R R"],
    open_photo: Callable[[str], Image.Image] | None = None,
) -> None:
    """Write all camera files of a run; see the top of this module.

    Args:
        run_dir: the run directory.
        cameras: of the photographs, with intrinsics for the squares.
        splats: raw parameters in world axes; their centres become points.
        photo_folder: the folder that the names of photographs are relative to.
        crops: left, top and side of the squares, in pixels of the upright photographs.
        sizes: width and height of the upright photographs.
        alpha: of the squares, in [0, 1].
        open_photo: reads a photograph upright by its name, where names are not those of files that
            Pillow reads.

    Raises:
        UserError: a photograph cannot be read, or a file cannot be written.
    """
    Ks = original_intrinsics(cameras.Ks, crops, alpha.shape[-1])
    viewmats = cameras.viewmats.detach().double().cpu()
    original = OriginalCameras(cameras.names, viewmats, Ks, sizes)
    save_cameras_json(run_dir / CAMERAS, original)
    photos = PhotoFiles(photo_folder, cameras.names, sizes)
    files = readable_files(photos, run_dir / IMAGES, open_photo)
    masks = [run_dir / MASKS / name for name in save_masks(run_dir / MASKS, files, alpha, crops)]
    save_points(run_dir / POINTS, splats)
    save_transforms(run_dir / TRANSFORMS, original, files, masks, run_dir / POINTS)
    save_colmap_model(run_dir / COLMAP_MODEL, original, files, splats)
