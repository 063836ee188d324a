"""The page's script in the repository is what its sources and pinned packages give."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import viewer

FOLDER = Path(viewer.__file__).parent
BUILT = ("viewer.js", "THIRD_PARTY.txt")
PACKAGES = ("@sparkjsdev/spark", "three", "fflate")

needs_node = pytest.mark.skipif(
    not (shutil.which("node") and shutil.which("npm")), reason="Node.js is not installed"
)


@needs_node
def test_building_again_gives_the_same_bytes(tmp_path: Path) -> None:
    web = tmp_path / "web"
    shutil.copytree(FOLDER / "web", web, ignore=shutil.ignore_patterns("node_modules"))
    (tmp_path / "static").mkdir()
    install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    installed = subprocess.run(
        [*install, "--fetch-retries=0", "--fetch-timeout=60000"],
        cwd=web,
        capture_output=True,
        text=True,
        timeout=300,
    )
    if installed.returncode and re.search(NO_REGISTRY, installed.stderr):
        pytest.skip("the npm registry cannot be reached")
    assert installed.returncode == 0, installed.stderr
    subprocess.run(["node", "build.mjs"], cwd=web, check=True, timeout=120)
    for name in BUILT:
        same = (tmp_path / "static" / name).read_bytes() == (FOLDER / "static" / name).read_bytes()
        assert same, f"{name} is not what viewer/web gives: npm ci && node build.mjs there"


NO_REGISTRY = "ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|network|E40[13]"


def test_packages_are_pinned_exactly() -> None:
    text = (FOLDER / "web" / "package.json").read_text(encoding="utf-8")
    versions = re.findall(r'"(?:@sparkjsdev/spark|three|esbuild)": "([^"]+)"', text)
    assert len(versions) == 3
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in versions)


def test_licences_of_bundled_packages_are_included() -> None:
    notices = (FOLDER / "static" / "THIRD_PARTY.txt").read_text(encoding="utf-8")
    for package in PACKAGES:
        assert re.search(rf"^{re.escape(package)} \d", notices, re.MULTILINE), package
    assert notices.count("Permission is hereby granted") >= len(PACKAGES)


def test_the_page_needs_no_inline_script_or_style() -> None:
    page = (FOLDER / "static" / "index.html").read_text(encoding="utf-8")
    assert re.findall(r"<script\b[^>]*>", page) == ['<script src="/viewer.js" defer>']
    assert "<style" not in page
    assert not re.search(r"\s(style|on\w+)=", page)


def test_the_script_makes_no_program_of_a_text() -> None:
    script = (FOLDER / "static" / "viewer.js").read_text(encoding="utf-8")
    assert not re.search(r"\bnew Function\(|\beval\(", script)
    assert os.path.getsize(FOLDER / "static" / "viewer.js") < 4_000_000
