"""The wheel: everything in it that is needed, and nothing of the repository when it is used."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ("pyproject.toml", "setup.py", "README.md", "LICENSE", "gs_esd", "viewer", "conf")
ENVIRONMENT = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
PROGRAM = "import sys; from gs_esd.cli.main import main; sys.argv[0] = 'gs-esd'; main()"

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy, so that the repository gets no build/."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    ignored = shutil.ignore_patterns("__pycache__", "node_modules", "*.egg-info")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=ignored)
        else:
            shutil.copy(ROOT / name, source)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(out), str(source))
    [wheel] = out.glob("gs_esd-*.whl")
    return wheel


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel installed in a folder of its own, before all other packages."""
    site = tmp_path_factory.mktemp("site")
    pip("install", "--no-deps", "--no-index", "--target", str(site), str(wheel))
    return site


def pip(*arguments: str) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    result = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def run(site: Path, folder: Path, *command: str) -> str:
    """The output of a Python command, in a folder and an environment without the repository."""
    result = subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**ENVIRONMENT, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert str(ROOT / "gs_esd") not in result.stdout + result.stderr
    return result.stdout


def test_every_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    listed = subprocess.run(
        [
            "git",
            "ls-files",
            "--cached",
            "--others",
            "--exclude-standard",
            "gs_esd",
            "viewer",
            "conf",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    files = [file for file in listed.stdout.splitlines() if (ROOT / file).exists()]
    expected = {
        f"gs_esd/{file}" if file.startswith("conf/") else file
        for file in files
        if not file.startswith("viewer/web/") and not file.endswith(".md")
    }
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
        [entry_points] = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        assert b"gs-esd = gs_esd.cli.main:main" in archive.read(entry_points)
    assert {name for name in found if not name.endswith(".md")} == expected


def test_the_installed_program_trains_exports_and_shows(site: Path, tmp_path: Path) -> None:
    here = tmp_path / "elsewhere"
    here.mkdir()
    where = run(site, here, "-c", "import gs_esd, viewer; print(gs_esd.__file__, viewer.__file__)")
    assert where.count(str(site)) == 2
    run(site, here, "-c", PROGRAM, "train", "experiment=quick", "prompt=a pig", "lambda_esd=0")
    splats = here / "outputs/quick/a-pig/lam0.0-seed0/splats.ply"
    assert splats.stat().st_size > 10_000
    run(site, here, "-c", PROGRAM, "export", str(splats), "pig.glb")
    assert (here / "pig.glb").read_bytes()[:4] == b"glTF"
    run(site, here, "-c", PROGRAM, "view", str(splats), "--html", "page.html")
    assert (here / "page.html").stat().st_size > splats.stat().st_size


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["-c", PROGRAM, "--help"], "gs-esd view"),
        (["-c", PROGRAM, "train", "--help"], "ray_cluster"),  # a file in a folder of a folder
        (["-m", "gs_esd", "report", "--help"], "usage:"),
        (["-m", "viewer", "--help"], "usage: python -m viewer"),
    ],
)
def test_the_installed_program_has_help(
    command: list[str], expected: str, site: Path, tmp_path: Path
) -> None:
    assert expected in run(site, tmp_path, *command)
