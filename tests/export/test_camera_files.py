"""Camera files: every format projects points to the same pixels, and draws the same images."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import Float
from plyfile import PlyData
from torch import Tensor
from torch.nn import ParameterDict

from gs_esd.cameras.orbit import Cameras
from gs_esd.export.axes import FileAxes
from gs_esd.export.camera_files import save_camera_files
from gs_esd.export.frames import FILE_FROM_WORLD
from gs_esd.export.reference_cameras import load_cameras_json
from gs_esd.render.renderings import render
from gs_esd.splats.parameters import create_optimizers, init_ball
from tests.helpers.photo_cameras import (
    PHOTOS,
    R,
    crops_and_sizes,
    original_pixels,
    photo_cameras,
    points,
    project,
    save_photos,
    square_cameras,
)
from tests.helpers.statue import statue

MAX_PIXELS = 1e-3
Pose = tuple[Float[Tensor, "M 4 4"], Float[Tensor, "M 3 3"]]
Y_DOWN = FILE_FROM_WORLD[FileAxes.y_down].double()


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory with camera files, beside the folder of photographs."""
    folder = tmp_path_factory.mktemp("session")
    cameras, (crops, sizes) = photo_cameras(), crops_and_sizes()
    save_photos(folder / "photos", cameras.names, sizes)
    (folder / "run").mkdir()
    save_camera_files(
        folder / "run",
        cameras,
        statue(sh_degree=1),
        photo_folder=folder / "photos",
        crops=crops,
        sizes=sizes,
        alpha=torch.ones(PHOTOS, R, R),
    )
    return folder / "run"


def from_cameras_json(run_dir: Path) -> Pose:
    """As the reference code's getWorld2View: R of the file is camera-to-world, OpenCV's axes."""
    viewmats, Ks = [], []
    for entry in json.loads((run_dir / "cameras.json").read_text()):
        rotation = np.array(entry["rotation"]).T
        viewmat = np.eye(4)
        viewmat[:3, :3], viewmat[:3, 3] = rotation, -rotation @ np.array(entry["position"])
        viewmats.append(viewmat)
        Ks.append([[entry["fx"], 0, entry["cx"]], [0, entry["fy"], entry["cy"]], [0, 0, 1]])
    return torch.tensor(np.array(viewmats)), torch.tensor(Ks)


def from_transforms(run_dir: Path) -> Pose:
    """As nerfstudio's parser reads frames, and its splatfacto's `get_viewmat` turns poses."""
    frames = json.loads((run_dir / "transforms.json").read_text())["frames"]
    poses = torch.tensor([frame["transform_matrix"] for frame in frames], dtype=torch.float64)
    rotation = (poses[:, :3, :3] * torch.tensor([1.0, -1.0, -1.0])).mT
    viewmats = torch.zeros(len(frames), 4, 4, dtype=torch.float64)
    viewmats[:, 3, 3] = 1
    viewmats[:, :3, :3] = rotation
    viewmats[:, :3, 3:] = -rotation @ poses[:, :3, 3:]
    Ks = torch.zeros(len(frames), 3, 3, dtype=torch.float64)
    for K, frame in zip(Ks, frames, strict=True):
        K[0, 0], K[1, 1], K[2, 2] = frame["fl_x"], frame["fl_y"], 1
        K[0, 2], K[1, 2] = frame["cx"], frame["cy"]
    return viewmats, Ks


def from_colmap(run_dir: Path) -> Pose:
    """As COLMAP itself reads its model."""
    pycolmap = pytest.importorskip("pycolmap")
    model = pycolmap.Reconstruction(str(run_dir / "sparse" / "0"))
    images = sorted(model.images.values(), key=lambda image: image.name)
    poses = np.array([image.cam_from_world().matrix() for image in images])
    viewmats = torch.eye(4, dtype=torch.float64).repeat(len(images), 1, 1)
    viewmats[:, :3] = torch.tensor(poses)
    Ks = [model.cameras[image.camera_id].calibration_matrix() for image in images]
    return viewmats, torch.tensor(np.array(Ks))


READERS = [
    pytest.param(from_cameras_json, FileAxes.y_down, id="cameras.json"),
    pytest.param(from_transforms, FileAxes.z_up, id="nerfstudio"),
    pytest.param(from_colmap, FileAxes.y_down, id="colmap"),
]


@pytest.mark.parametrize(("read", "axes"), READERS)
def test_points_project_to_the_same_pixels(
    read: Callable[[Path], Pose], axes: FileAxes, run_dir: Path
) -> None:
    cameras, (crops, _) = photo_cameras(), crops_and_sizes()
    expected = original_pixels(project(points(), cameras.viewmats, cameras.Ks), crops)
    in_file = points() @ FILE_FROM_WORLD[axes].double().T
    pixels = project(in_file, *read(run_dir))
    assert (pixels - expected).abs().max() < MAX_PIXELS


@pytest.mark.parametrize(("read", "axes"), READERS)
def test_cameras_draw_the_same_images(
    read: Callable[[Path], Pose], axes: FileAxes, run_dir: Path
) -> None:
    splats, cameras = statue(sh_degree=1), photo_cameras()
    expected = render(splats, square_cameras(cameras))
    drawn = render(splats, to_squares(read(run_dir), axes))
    assert expected.alpha.amax() > 0.5
    assert (drawn.rgb - expected.rgb).abs().max() < 1e-4
    assert (drawn.alpha - expected.alpha).abs().max() < 1e-4


def to_squares(poses: Pose, axes: FileAxes) -> Cameras:
    """Cameras of the squares, in world axes, from those of a file."""
    viewmats, Ks = poses
    crops, _ = crops_and_sizes()
    world = viewmats.clone()
    world[:, :3, :3] = viewmats[:, :3, :3] @ FILE_FROM_WORLD[axes].double()
    square = Ks.clone()
    square[:, :2, 2] -= crops[:, :2]
    square[:, :2] *= R / crops[:, 2][:, None, None]
    angles = torch.zeros(len(world))
    return Cameras(world.float(), square.float(), R, R, angles, angles)


def test_splats_fit_from_nerfstudio_as_well_as_from_the_cameras(run_dir: Path) -> None:
    own = square_cameras(photo_cameras())
    images = render(statue(sh_degree=0), own).rgb.detach()
    read = to_squares(from_transforms(run_dir), FileAxes.z_up)
    shuffled = read[torch.arange(PHOTOS).roll(1)]
    psnrs = [fit(images, cameras) for cameras in (own, read, shuffled)]
    assert psnrs[0] == pytest.approx(psnrs[1], abs=0.05)
    assert psnrs[1] > psnrs[2] + 1


def fit(images: Float[Tensor, "M H W 3"], cameras: Cameras) -> float:
    """PSNR in dB after a short fit of 300 Gaussians."""
    generator = torch.Generator().manual_seed(0)
    splats = init_ball(300, radius=0.8, opacity=0.3, sh_degree=0, generator=generator)
    rates = {"means": 5e-3, "quats": 1e-2, "scales": 1e-2, "opacities": 5e-2, "sh0": 3e-2}
    optimizers = create_optimizers(splats, {**rates, "shN": 0.0})
    for _ in range(40):
        loss = (render(splats, cameras).rgb - images).square().mean()
        loss.backward()
        for optimizer in optimizers.values():
            optimizer.step()
            optimizer.zero_grad()
    return -10 * float(loss.detach().log10())


def test_load_cameras_json_returns_angles_and_names(run_dir: Path) -> None:
    cameras, loaded = photo_cameras(), load_cameras_json(run_dir / "cameras.json")
    assert loaded.names == cameras.names
    turned = loaded.azimuth - cameras.azimuth
    assert torch.atan2(turned.sin(), turned.cos()).abs().max() < 1e-5
    assert (loaded.elevation - cameras.elevation).abs().max() < 1e-5
    assert torch.equal(loaded.sizes, crops_and_sizes()[1])
    assert (project(points(), loaded.viewmats, loaded.Ks) >= 0).all()


def test_paths_of_transforms_lead_to_photographs_masks_and_points(run_dir: Path) -> None:
    transforms = json.loads((run_dir / "transforms.json").read_text())
    assert transforms["frames"][0]["file_path"] == "../photos/0.png"
    for frame in transforms["frames"]:
        assert (run_dir / frame["file_path"]).is_file()
        assert (run_dir / frame["mask_path"]).is_file()
    assert (run_dir / transforms["ply_file_path"]).is_file()
    assert not (run_dir / "images").exists()


def test_points_are_the_centres_of_the_splats(run_dir: Path) -> None:
    means, rgb = statue(sh_degree=1)["means"].detach(), colors(statue(sh_degree=1))
    vertex = PlyData.read(str(run_dir / "points.ply"))["vertex"]
    assert np.allclose(np.stack([vertex[axis] for axis in "xyz"], axis=1), means)
    assert (np.stack([vertex[c] for c in ("red", "green", "blue")], axis=1) == rgb).all()
    pycolmap = pytest.importorskip("pycolmap")
    model = pycolmap.Reconstruction(str(run_dir / "sparse" / "0"))
    numbers = sorted(model.points3D)
    xyz = np.array([model.points3D[number].xyz for number in numbers])
    assert np.allclose(xyz @ Y_DOWN.numpy(), means, atol=1e-6)
    assert (np.array([model.points3D[number].color for number in numbers]) == rgb).all()


def colors(splats: ParameterDict) -> np.ndarray:
    """Bytes of the constant colour, from its definition in gs_esd/splats/parameters.py."""
    rgb = 0.5 + 0.28209479 * splats["sh0"][:, 0].detach()
    return (255 * rgb.clamp(0, 1)).round().numpy()
