"""Files whose opacities and scales are activated: detected, reported, deactivated."""

import io
import re
from pathlib import Path

import plyfile
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gs_esd.errors import UserError
from gs_esd.export.ply import load_splats, save_splats
from tests.helpers.splat_files import colorful_splats


def activated(path: Path) -> None:
    """Write our .ply again like programs that forget to undo sigmoid and exp."""
    data = plyfile.PlyData.read(str(path))
    vertex = data["vertex"].data
    vertex["opacity"] = torch.from_numpy(vertex["opacity"].copy()).sigmoid()
    for i in range(3):
        vertex[f"scale_{i}"] = torch.from_numpy(vertex[f"scale_{i}"].copy()).exp()
    element = plyfile.PlyElement.describe(vertex, "vertex")
    written = io.BytesIO()
    plyfile.PlyData([element]).write(written)
    path.write_bytes(written.getvalue())


@settings(deadline=None, max_examples=30)
@given(n=st.integers(1, 20), seed=st.integers(0, 1000))
def test_activated_values_detected_and_deactivated(
    tmp_path_factory: pytest.TempPathFactory, n: int, seed: int
) -> None:
    path = tmp_path_factory.mktemp("activated") / "a.ply"
    splats = colorful_splats(n, 1, seed)
    save_splats(splats, path)
    with pytest.raises(UserError, match="does not hold activated values"):
        load_splats(path, activated=True)
    activated(path)
    with pytest.raises(UserError, match=r"seems to hold activated values.*--activated"):
        load_splats(path)
    found = load_splats(path, activated=True)
    for name in splats:
        torch.testing.assert_close(found[name], splats[name], rtol=2e-6, atol=2e-6)
    assert load_splats(path, activated=False)["scales"].min() > 0


def test_deactivate_at_range_ends(tmp_path: Path) -> None:
    splats = colorful_splats(3, 0)
    splats["opacities"].data = torch.tensor([-200.0, 0.0, 200.0])
    splats["scales"].data[0] = -200.0
    save_splats(splats, tmp_path / "a.ply")
    activated(tmp_path / "a.ply")
    found = load_splats(tmp_path / "a.ply", activated=True)
    opacities = found["opacities"].sigmoid()
    torch.testing.assert_close(opacities, torch.tensor([1e-6, 0.5, 1 - 1e-6]))
    torch.testing.assert_close(found["scales"][0].exp(), torch.full((3,), 1e-8))


@pytest.mark.parametrize(("log_scale", "logit"), [(-3.0, 0.5), (2.0, -1.0), (2.0, 3.0), (0.0, 0.0)])
def test_raw_values_not_detected_as_activated(
    tmp_path: Path, log_scale: float, logit: float
) -> None:
    """Small but half opaque, huge and faint, huge and opaque, and made by hand of zeros."""
    splats = colorful_splats(3, 0)
    splats["scales"].data.fill_(log_scale)
    splats["opacities"].data.fill_(logit)
    save_splats(splats, tmp_path / "a.ply")
    content = (tmp_path / "a.ply").read_bytes()
    (tmp_path / "b.ply").write_bytes(re.sub(rb"comment .*\n", b"", content))
    assert torch.equal(load_splats(tmp_path / "b.ply")["scales"], splats["scales"])


def test_own_files_never_detected_as_activated(tmp_path: Path) -> None:
    splats = colorful_splats(3, 0)
    splats["scales"].data.fill_(0.5)
    splats["opacities"].data.fill_(0.5)
    save_splats(splats, tmp_path / "a.ply")
    assert torch.equal(load_splats(tmp_path / "a.ply")["scales"], splats["scales"])
