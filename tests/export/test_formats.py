"""Round trips of .splat, .compressed.ply and .glb, as precise as each format allows.

Bounds: a number rounded to one of n steps over a range r is off by at most r / 2n, one that is cut
by r / n. A wrong layout, wrong axes, sign or unit is off by far more.
"""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import ParameterDict

import gs_esd
from gs_esd.cameras.orbit import Orbit, turntable
from gs_esd.errors import UserError
from gs_esd.export.axes import FileAxes
from gs_esd.export.compressed_ply import save_compressed_ply
from gs_esd.export.frames import to_file_axes, unit_quats
from gs_esd.export.glb import save_glb
from gs_esd.export.ply import load_metadata, load_splats
from gs_esd.export.splat import save_splat
from gs_esd.render.renderings import render
from gs_esd.splats.parameters import SH_Y0
from tests.helpers.splat_files import (
    WORLD_FROM_FILE,
    colorful_splats,
    decode_compressed_ply,
    decode_glb,
    decode_splat,
)

ORBIT = Orbit(distance=3.0, fov=0.7, elevation_min=0.0, elevation_max=0.5)

several = st.builds(
    colorful_splats, n=st.integers(1, 600), sh_degree=st.integers(0, 3), seed=st.integers(0, 1000)
)


def psnr(splats: ParameterDict, found: ParameterDict, up: str) -> float:
    """PSNR, dB, of splats and those of a file, the latter rendered in the file's axes."""
    cameras = turntable(4, 0.3, ORBIT, 48)
    world_from_file = torch.eye(4)
    world_from_file[:3, :3] = WORLD_FROM_FILE[up]
    turned = replace(cameras, viewmats=cameras.viewmats @ world_from_file)
    error = (render(splats, cameras).rgb - render(found, turned).rgb).square().mean()
    return float(-10 * error.detach().log10())


def matched(found: ParameterDict, means: Tensor) -> dict[str, Tensor]:
    """The found Gaussians in the order of the means that they are nearest to."""
    nearest = torch.cdist(means, found["means"]).argmin(dim=1)
    assume(len(nearest.unique()) == len(means))
    return {name: tensor[nearest] for name, tensor in found.items()}


def angles(quats: Tensor, others: Tensor) -> Tensor:
    """Between rotations, in radians."""
    cosines = (unit_quats(quats).double() * unit_quats(others).double()).sum(dim=1).abs()
    return 2 * cosines.clamp(max=1).acos()


@settings(deadline=None, max_examples=20)
@given(splats=several, up=st.sampled_from(FileAxes))
def test_splat_round_trip_precision(
    tmp_path_factory: pytest.TempPathFactory, splats: ParameterDict, up: FileAxes
) -> None:
    path = tmp_path_factory.mktemp("splat") / "a.splat"
    save_splat(splats, path, up)
    n = len(splats["means"])
    assert path.stat().st_size == 32 * n
    decoded = decode_splat(path)
    importance = decoded["opacities"].sigmoid().log() + decoded["scales"].sum(dim=1)
    exact = to_file_axes(splats, up)
    opacities = exact["opacities"].sigmoid()
    order = (opacities.log() + exact["scales"].sum(dim=1)).argsort(descending=True, stable=True)
    expected = {name: tensor[order] for name, tensor in exact.items()}
    assert importance[0] >= importance[-1] - 0.02
    assert torch.equal(decoded["means"], expected["means"])
    torch.testing.assert_close(decoded["scales"], expected["scales"], rtol=0, atol=1e-6)
    color = (0.5 + SH_Y0 * expected["sh0"]).clamp(0, 1)
    torch.testing.assert_close(0.5 + SH_Y0 * decoded["sh0"], color, rtol=0, atol=0.502 / 255)
    torch.testing.assert_close(
        decoded["opacities"].sigmoid(), opacities[order], rtol=0, atol=0.502 / 255
    )
    # Four components off by half a step of 1/128 each, but 1, for which there is no byte.
    assert angles(decoded["quats"], expected["quats"]).max() < 2 * (3 * 0.25 + 1) ** 0.5 / 128


@settings(deadline=None, max_examples=20)
@given(splats=several, up=st.sampled_from(FileAxes))
def test_compressed_ply_round_trip_precision(
    tmp_path_factory: pytest.TempPathFactory, splats: ParameterDict, up: FileAxes
) -> None:
    path = tmp_path_factory.mktemp("compressed") / "a.compressed.ply"
    save_compressed_ply(splats, path, up)
    expected = to_file_axes(splats, up)
    found = matched(decode_compressed_ply(path), expected["means"])
    extent = float((expected["means"].amax(dim=0) - expected["means"].amin(dim=0)).max())
    torch.testing.assert_close(
        found["means"], expected["means"], rtol=0, atol=0.501 * extent / 1023 + 1e-6
    )
    steps = expected["scales"].amax() - expected["scales"].amin()
    torch.testing.assert_close(
        found["scales"], expected["scales"], rtol=0, atol=0.501 * float(steps) / 1023 + 1e-6
    )
    colors = float(expected["sh0"].amax() - expected["sh0"].amin())
    torch.testing.assert_close(
        found["sh0"], expected["sh0"], rtol=0, atol=0.501 * colors / 255 + 1e-5
    )
    torch.testing.assert_close(
        found["opacities"].sigmoid(),
        expected["opacities"].sigmoid(),
        rtol=0,
        atol=0.501 / 255,
    )
    torch.testing.assert_close(
        found["shN"], expected["shN"].clamp(-4, 4), rtol=0, atol=0.501 / 32 + 1e-6
    )
    # The largest component follows from three that are off by half a step of √2 / 1023.
    assert angles(found["quats"], expected["quats"]).max() < 2 * 3 * 0.5 * 2**0.5 / 1023


@settings(deadline=None, max_examples=20)
@given(splats=several)
def test_glb_round_trip(tmp_path_factory: pytest.TempPathFactory, splats: ParameterDict) -> None:
    path = tmp_path_factory.mktemp("glb") / "a.glb"
    save_glb(splats, path)
    found, _ = decode_glb(path)
    expected = to_file_axes(splats, FileAxes.y_up)
    for name in ("means", "sh0", "shN"):
        assert torch.equal(found[name], expected[name]), name
    torch.testing.assert_close(found["scales"], expected["scales"], rtol=0, atol=1e-6)
    torch.testing.assert_close(found["opacities"], expected["opacities"], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(found["quats"].norm(dim=1), torch.ones(len(found["quats"])))
    assert angles(found["quats"], expected["quats"]).max() < 1e-3


@pytest.mark.parametrize("sh_degree", [0, 1, 2, 3])
def test_rendered_psnr_of_all_formats(tmp_path: Path, sh_degree: int) -> None:
    splats = colorful_splats(300, sh_degree)
    flat = ParameterDict({**splats, "shN": torch.zeros(300, 0, 3)})
    for up in FileAxes:
        save_splat(splats, tmp_path / "a.splat", up)
        assert psnr(flat, decode_splat(tmp_path / "a.splat"), up.value) > 45
        save_compressed_ply(splats, tmp_path / "a.compressed.ply", up)
        found = decode_compressed_ply(tmp_path / "a.compressed.ply")
        assert found["shN"].shape == splats["shN"].shape
        assert psnr(splats, found, up.value) > 45
    save_glb(splats, tmp_path / "a.glb")
    assert psnr(splats, decode_glb(tmp_path / "a.glb")[0], "y-up") > 90


def test_splat_order_by_importance(tmp_path: Path) -> None:
    splats = colorful_splats(3, 0)
    splats["scales"].data = torch.tensor([[-3.0] * 3, [-1.0] * 3, [-3.0] * 3])
    splats["opacities"].data = torch.tensor([-2.0, -2.0, 5.0])
    save_splat(splats, tmp_path / "a.splat", FileAxes.z_up)
    assert torch.equal(decode_splat(tmp_path / "a.splat")["means"], splats["means"][[1, 2, 0]])


def test_compressed_ply_constant_chunk(tmp_path: Path) -> None:
    """Minimum and maximum of a chunk are equal: nothing to divide by."""
    splats = colorful_splats(300, 1)
    for name in ("scales", "sh0", "quats"):
        splats[name].data[:] = splats[name].data[:1]
    save_compressed_ply(splats, tmp_path / "a.compressed.ply", FileAxes.z_up)
    found = decode_compressed_ply(tmp_path / "a.compressed.ply")
    torch.testing.assert_close(found["scales"], splats["scales"].detach())
    torch.testing.assert_close(found["sh0"], splats["sh0"].detach())


def test_compressed_ply_drops_transparent_gaussians(tmp_path: Path) -> None:
    splats = colorful_splats(5, 0)
    splats["opacities"].data[1:3] = -6
    save_compressed_ply(splats, tmp_path / "a.compressed.ply")
    assert len(decode_compressed_ply(tmp_path / "a.compressed.ply")["means"]) == 3
    splats["opacities"].data[:] = -6
    with pytest.raises(UserError, match="every Gaussian is transparent"):
        save_compressed_ply(splats, tmp_path / "a.compressed.ply")


def test_zero_quaternions_in_all_formats(tmp_path: Path) -> None:
    splats = colorful_splats(4, 0)
    splats["quats"].data[:] = 0
    save_splat(splats, tmp_path / "a.splat")
    save_compressed_ply(splats, tmp_path / "a.compressed.ply")
    save_glb(splats, tmp_path / "a.glb")
    for found in (
        decode_splat(tmp_path / "a.splat"),
        decode_compressed_ply(tmp_path / "a.compressed.ply"),
        decode_glb(tmp_path / "a.glb")[0],
    ):
        assert (found["quats"][:, 0] > 0.99).all()


HEADER_OF_COMPRESSED = """ply
format binary_little_endian 1.0
element chunk 2
{bounds}
element vertex 300
property uint packed_position
property uint packed_rotation
property uint packed_scale
property uint packed_color{sh}
comment gs_esd {{"up": "y-down", "gs-esd": "{version}", "seed": 1}}
end_header
"""
BOUNDS = [
    f"property float {end}_{name}"
    for names in ("x y z", "scale_x scale_y scale_z", "r g b")
    for end in ("min", "max")
    for name in names.split()
]


@pytest.mark.parametrize("sh_degree", [0, 1, 3])
def test_compressed_ply_header(tmp_path: Path, sh_degree: int) -> None:
    path = tmp_path / "a.compressed.ply"
    save_compressed_ply(colorful_splats(300, sh_degree), path, metadata={"seed": 1})
    rest = 3 * (sh_degree + 1) ** 2 - 3
    lines = [f"property uchar f_rest_{i}" for i in range(rest)]
    header = HEADER_OF_COMPRESSED.format(
        bounds="\n".join(BOUNDS),
        sh="\n".join(["\nelement sh 300", *lines]) if rest else "",
        version=gs_esd.__version__,
    ).encode()
    assert path.read_bytes().startswith(header)
    assert path.stat().st_size == len(header) + 2 * 72 + 300 * (16 + rest)
    assert load_metadata(path)["seed"] == 1
    with pytest.raises(UserError, match=r"is a compressed \.ply"):
        load_splats(path)


def test_glb_json(tmp_path: Path) -> None:
    splats = colorful_splats(3, 2)
    splats["sh0"].data = torch.tensor([[[-9.0] * 3], [[0.0] * 3], [[9.0] * 3]])
    save_glb(splats, tmp_path / "a.glb", {"prompt": "猫"})
    _, described = decode_glb(tmp_path / "a.glb")
    ours = {"up": "y-up", "gs-esd": gs_esd.__version__, "prompt": "猫"}
    assert described["asset"]["extras"] == ours
    assert described["extensionsUsed"] == ["KHR_gaussian_splatting"]
    (splat,) = described["meshes"][0]["primitives"]
    assert splat["mode"] == 0
    assert splat["extensions"]["KHR_gaussian_splatting"]["colorSpace"] == "srgb_rec709_display"
    names = {name.partition(":")[2] for name in splat["attributes"]} - {""}
    assert names == {"ROTATION", "SCALE", "OPACITY"} | {
        f"SH_DEGREE_{degree}_COEF_{i}" for degree in range(3) for i in range(2 * degree + 1)
    }
    position = described["accessors"][splat["attributes"]["POSITION"]]
    turned = to_file_axes(splats, FileAxes.y_up)["means"]
    assert position["min"] == turned.amin(dim=0).tolist()
    assert position["max"] == turned.amax(dim=0).tolist()


def test_glb_point_colors_linear(tmp_path: Path) -> None:
    splats = colorful_splats(3, 0)
    splats["sh0"].data = torch.tensor([[[-9.0] * 3], [[0.0] * 3], [[9.0] * 3]])
    splats["opacities"].data = torch.zeros(3)
    save_glb(splats, tmp_path / "a.glb")
    content = (tmp_path / "a.glb").read_bytes()
    offset = content.index(b"BIN\0") + 4 + 3 * 12
    rgba = torch.frombuffer(bytearray(content[offset : offset + 24]), dtype=torch.uint16)
    rgba = rgba.reshape(3, 4).float() / 65535
    # sRGB 0.5 is 0.2140 of the light of white.
    expected = torch.tensor([[0.0] * 3 + [0.5], [0.2140] * 3 + [0.5], [1.0] * 3 + [0.5]])
    torch.testing.assert_close(rgba, expected, rtol=0, atol=5e-5)
