"""The .ply file: standard to the byte, upright in viewers, and lossless."""

from dataclasses import replace
from pathlib import Path

import gsplat
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import ParameterDict

from gs_esd.cameras import Cameras, Orbit, turntable
from gs_esd.errors import UserError
from gs_esd.export.ply import load_ply, multiply_quats, rotate_sh, save_ply
from gs_esd.gaussians import ball_cloud
from gs_esd.render import render

ORBIT = Orbit(distance=3.0, fov=0.7, elevation_min=0.0, elevation_max=0.5)

HEADER_OF_DEGREE_0 = b"""ply
format binary_little_endian 1.0
element vertex 5
property float x
property float y
property float z
property float nx
property float ny
property float nz
property float f_dc_0
property float f_dc_1
property float f_dc_2
property float opacity
property float scale_0
property float scale_1
property float scale_2
property float rot_0
property float rot_1
property float rot_2
property float rot_3
end_header
"""


def colorful_cloud(n: int, sh_degree: int, seed: int = 0) -> ParameterDict:
    generator = torch.Generator().manual_seed(seed)
    cloud = ball_cloud(n, radius=0.8, opacity=0.5, sh_degree=sh_degree, generator=generator)
    for name in ("shN", "scales", "opacities"):
        noise = torch.randn(cloud[name].shape, generator=generator)
        cloud[name].data += 0.5 * noise
    return cloud


def raw_table(path: Path, n: int) -> Tensor:
    """The numbers after the header, read by nothing of ours."""
    body = path.read_bytes().split(b"end_header\n", 1)[1]
    return torch.frombuffer(bytearray(body), dtype=torch.float32).reshape(n, -1)


def raw_cloud(path: Path, n: int, sh_degree: int) -> ParameterDict:
    """The cloud in the file's own axes."""
    rest = (sh_degree + 1) ** 2 - 1
    sizes = [3, 3, 3, 3 * rest, 1, 3, 4]
    means, _, sh0, f_rest, opacities, scales, quats = raw_table(path, n).split(sizes, dim=1)
    return ParameterDict(
        {
            "means": means,
            "quats": quats,
            "scales": scales,
            "opacities": opacities[:, 0],
            "sh0": sh0[:, None],
            "shN": f_rest.reshape(n, 3, rest).transpose(1, 2),
        }
    )


def in_file_axes(cameras: Cameras) -> Cameras:
    """The same cameras for whom sees the world as the file has it: right, down, forward."""
    world_from_file = torch.tensor(
        [[0.0, 0, -1, 0], [1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]]
    )  # x = -forward, y = right, z = -down
    return replace(cameras, viewmats=cameras.viewmats @ world_from_file)


def test_header_is_the_standard_one(tmp_path: Path) -> None:
    save_ply(colorful_cloud(5, sh_degree=0), tmp_path / "a.ply")
    content = (tmp_path / "a.ply").read_bytes()
    assert content.startswith(HEADER_OF_DEGREE_0)
    assert len(content) == len(HEADER_OF_DEGREE_0) + 5 * 17 * 4


@pytest.mark.parametrize("sh_degree", [0, 3])
def test_numbers_are_those_gsplat_writes(tmp_path: Path, sh_degree: int) -> None:
    save_ply(colorful_cloud(7, sh_degree), tmp_path / "a.ply")
    ours = raw_table(tmp_path / "a.ply", 7)
    raw = dict(raw_cloud(tmp_path / "a.ply", 7, sh_degree).items())
    gsplat.export_splats(**raw, save_to=str(tmp_path / "b.ply"))
    without_normals = torch.cat([ours[:, :3], ours[:, 6:]], dim=1)
    assert torch.equal(without_normals, raw_table(tmp_path / "b.ply", 7))
    assert not ours[:, 3:6].any()


@settings(deadline=None, max_examples=30)
@given(n=st.integers(1, 20), sh_degree=st.integers(0, 3), seed=st.integers(0, 1000))
def test_round_trip(
    tmp_path_factory: pytest.TempPathFactory, n: int, sh_degree: int, seed: int
) -> None:
    path = tmp_path_factory.mktemp("ply") / "a.ply"
    cloud = colorful_cloud(n, sh_degree, seed)
    save_ply(cloud, path)
    loaded = load_ply(path)
    assert list(loaded.keys()) == list(cloud.keys())
    for name in ("means", "scales", "opacities", "sh0"):
        assert torch.equal(loaded[name], cloud[name]), name
    torch.testing.assert_close(loaded["quats"], cloud["quats"], rtol=0, atol=1.2e-7)
    torch.testing.assert_close(loaded["shN"], cloud["shN"], rtol=0, atol=1e-6)
    assert torch.equal(loaded["shN"][:, :3], cloud["shN"][:, :3])
    assert all(parameter.requires_grad for parameter in loaded.values())


@pytest.mark.parametrize("sh_degree", [0, 1, 2, 3])
def test_file_shows_the_same_pictures_in_its_own_axes(tmp_path: Path, sh_degree: int) -> None:
    cloud = colorful_cloud(60, sh_degree)
    save_ply(cloud, tmp_path / "a.ply")
    cameras = turntable(4, 0.3, ORBIT, 32)
    expected = render(cloud, cameras)
    found = render(raw_cloud(tmp_path / "a.ply", 60, sh_degree), in_file_axes(cameras))
    torch.testing.assert_close(found.alpha, expected.alpha, rtol=0, atol=2e-5)
    torch.testing.assert_close(found.rgb, expected.rgb, rtol=0, atol=2e-5)


def test_front_faces_a_camera_that_looks_along_the_files_z(tmp_path: Path) -> None:
    cloud = colorful_cloud(4, sh_degree=0)
    corners = torch.tensor([[1.0, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]])
    cloud["means"].data.copy_(corners)
    save_ply(cloud, tmp_path / "a.ply")
    front, right, top, origin = raw_table(tmp_path / "a.ply", 4)[:, :3].tolist()
    assert front == [0, 0, -1]  # nearest to that camera
    assert right == [1, 0, 0]
    assert top == [0, -1, 0]  # y points down
    assert origin == [0, 0, 0]


def test_rotations_compose() -> None:
    generator = torch.Generator().manual_seed(0)
    sh = torch.randn(3, 15, 3, generator=generator, dtype=torch.float64)
    quarter_turn = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    turned = sh
    for _ in range(4):
        turned = rotate_sh(turned, quarter_turn)
    torch.testing.assert_close(turned, sh, rtol=0, atol=1e-11)
    i, j = torch.tensor([0.0, 1, 0, 0]), torch.tensor([[0.0, 0, 1, 0]])
    assert multiply_quats(i, j).tolist() == [[0, 0, 0, 1]]  # i j = k


def test_files_without_normals_and_with_other_types_are_read(tmp_path: Path) -> None:
    cloud = colorful_cloud(6, sh_degree=1)
    save_ply(cloud, tmp_path / "a.ply")
    table = raw_table(tmp_path / "a.ply", 6)
    header = (tmp_path / "a.ply").read_bytes().split(b"end_header\n")[0]
    for normal in (b"nx", b"ny", b"nz"):
        header = header.replace(b"property float " + normal + b"\n", b"")
    header = header.replace(b"float", b"double")
    body = torch.cat([table[:, :3], table[:, 6:]], dim=1).double().numpy().tobytes()
    (tmp_path / "b.ply").write_bytes(header + b"end_header\n" + body)
    a, b = load_ply(tmp_path / "a.ply"), load_ply(tmp_path / "b.ply")
    assert all(torch.equal(a[name], b[name]) for name in cloud)


def changed(content: bytes, old: bytes, new: bytes) -> bytes:
    assert old in content
    return content.replace(old, new)


BAD_FILES = {
    "not a .ply": lambda _: b"solid stl\n",
    "lacks opacity, rot_0": lambda c: changed(
        changed(c, b"float opacity", b"float o"), b"float rot_0", b"float r"
    ),
    "NaN or infinite numbers in x, ": lambda c: (
        c[: c.index(b"end_header\n") + 11] + torch.full((5, 17), torch.nan).numpy().tobytes()
    ),
    "no Gaussian": lambda c: changed(c, b"vertex 5", b"vertex 0"),
    "cut short": lambda c: c[:-1],
    "1 f_rest properties": lambda c: changed(c, b"float nx", b"float f_rest_0"),
    "not binary little-endian": lambda c: changed(c, b"binary_little_endian", b"ascii"),
    "does not begin with a vertex": lambda c: changed(c, b"element vertex", b"element chunk"),
    "is no plain number": lambda c: changed(c, b"float nx", b"list uchar int nx"),
    "cannot be read: ": lambda c: changed(c, b"float ny", b"float nx"),
}


@pytest.mark.parametrize("message", BAD_FILES)
def test_bad_files_are_explained(tmp_path: Path, message: str) -> None:
    path = tmp_path / "a.ply"
    save_ply(colorful_cloud(5, sh_degree=0), path)
    path.write_bytes(BAD_FILES[message](path.read_bytes()))
    with pytest.raises(UserError, match=message):
        load_ply(path)


def test_missing_file_is_explained(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*No such file"):
        load_ply(tmp_path / "none.ply")


@settings(deadline=None)
@given(content=st.binary(max_size=200))
def test_noise_after_a_valid_start_is_a_user_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("noise") / "a.ply"
    start = b"ply\nformat binary_little_endian 1.0\nelement vertex 3\nproperty "
    path.write_bytes(start + content + b"\nend_header\n" + content)
    with pytest.raises(UserError):
        load_ply(path)


def test_unwritable_folder_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for folder in ("none", "file"):
        with pytest.raises(UserError, match=r"hydra\.sweep\.dir"):
            save_ply(colorful_cloud(5, sh_degree=0), tmp_path / folder / "a.ply")
