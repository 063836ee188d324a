"""PlayCanvas' splat-transform reads our files; its glTF has our numbers."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gs_esd.export.command import save
from gs_esd.export.ply import load_splats
from tests.helpers.npm_packages import installed
from tests.helpers.splat_files import colorful_splats, decode_glb

Transform = Callable[[Path, Path], None]


@pytest.fixture(scope="module")
def transform(request: pytest.FixtureRequest) -> Transform:
    program = installed(request.config) / "@playcanvas/splat-transform/bin/cli.mjs"

    def run(source: Path, target: Path) -> None:
        done = subprocess.run(["node", program, source, target], capture_output=True, timeout=120)
        assert done.returncode == 0, done.stderr.decode()

    return run


@pytest.mark.parametrize("sh_degree", [0, 1, 2, 3])
@pytest.mark.parametrize("name", ["ours.ply", "ours.compressed.ply", "ours.splat"])
def test_splat_transform_reads_our_files(
    transform: Transform, tmp_path: Path, name: str, sh_degree: int
) -> None:
    splats = colorful_splats(300, sh_degree)
    save(splats, tmp_path / name, None, {"prompt": "a corgi\n猫" * 50})
    transform(tmp_path / name, tmp_path / "theirs.ply")
    theirs = load_splats(tmp_path / "theirs.ply")
    nearest = torch.cdist(splats["means"], theirs["means"]).argmin(dim=1)
    # Quantised formats have steps of 1/128 and less; a wrong layout is off by much more.
    for parameter in ("means", "scales"):
        torch.testing.assert_close(theirs[parameter][nearest], splats[parameter], rtol=0, atol=0.01)
    opacities = theirs["opacities"][nearest].sigmoid()
    torch.testing.assert_close(opacities, splats["opacities"].sigmoid(), rtol=0, atol=0.01)
    if name != "ours.splat":
        torch.testing.assert_close(theirs["shN"][nearest], splats["shN"], rtol=0, atol=0.1)
    alike = (theirs["quats"][nearest] * splats["quats"]).sum(dim=1).abs()
    norms = theirs["quats"][nearest].norm(dim=1) * splats["quats"].norm(dim=1)
    assert (alike / norms).min() > 0.999


def test_splat_transform_gltf_equals_ours_rotated(transform: Transform, tmp_path: Path) -> None:
    splats = colorful_splats(300, 3)
    for name in ("ours.ply", "ours.glb"):
        save(splats, tmp_path / name, None, {})
    transform(tmp_path / "ours.ply", tmp_path / "theirs.glb")
    (ours, said), (theirs, they_said) = (
        decode_glb(tmp_path / name) for name in ("ours.glb", "theirs.glb")
    )
    assert they_said["extensionsUsed"] == said["extensionsUsed"]
    turned = ours["means"] * torch.tensor([-1.0, 1, -1])  # in glTF the front is +z
    torch.testing.assert_close(theirs["means"], turned, rtol=0, atol=1e-5)
    for parameter in ("scales", "opacities", "sh0"):
        torch.testing.assert_close(theirs[parameter], ours[parameter], rtol=0, atol=1e-4)
