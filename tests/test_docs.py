"""README.md and docs/: what they link to and name exists, and the pages build without warnings."""

import importlib.util
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import gs_esd

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
MAX_README_LINES = 200
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.glob("**/*.md")])
"""Not CHANGELOG.md, which names what there was."""
TOP = "gs_esd|viewer|benchmarks|examples|tests|conf|docs"
PATH = re.compile(rf"(?<![\w./])(?:{TOP})/[\w./-]*[\w/]")
MODULE = re.compile(r"python -m ([A-Za-z_][\w.]*)")
API_MODULE = re.compile(r"(?:automodule:: |<!-- modules: )([\w.]+)")
LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
NAMES_TO_FILL_IN = ("NAME", "build")
"""Parts of paths that stand for others, or that are made."""


def ids(page: Path) -> str:
    return str(page.relative_to(ROOT))


def headings(page: Path) -> set[str]:
    """GitHub's anchors of a page's headings."""
    text = re.sub(r"^```.*?^```$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_readme_length() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= MAX_README_LINES


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_and_images_exist(page: Path) -> None:
    for target in LINK.findall(page.read_text("utf-8")):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path) if path else page
        assert linked.exists(), target
        if anchor:
            assert anchor in headings(linked), target


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_paths_exist(page: Path) -> None:
    for path in PATH.findall(page.read_text("utf-8")):
        if not any(name in path for name in NAMES_TO_FILL_IN):
            assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_modules_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    for name in {*MODULE.findall(text), *API_MODULE.findall(text)}:
        assert importlib.util.find_spec(name) is not None, name
    for name in MODULE.findall(text):
        package = importlib.util.find_spec(name)
        assert package is not None
        if package.submodule_search_locations:
            assert importlib.util.find_spec(f"{name}.__main__") is not None, name


def test_commands_of_the_console_script() -> None:
    commands = pytest.importorskip("gs_esd.cli.main").COMMANDS
    named = {
        word
        for page in PAGES
        for word in re.findall(r"(?:^|[`\s])gs-esd ([a-z]+)(?![\w=])", page.read_text("utf-8"))
    }
    assert named
    assert named <= set(commands)


def test_version_is_the_same_everywhere() -> None:
    citation = (ROOT / "CITATION.cff").read_text("utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.search(r"^version: (\S+)$", citation, re.MULTILINE).group(1) == gs_esd.__version__  # type: ignore[union-attr]
    assert re.search(rf"^## \[?{re.escape(gs_esd.__version__)}\b", changelog, re.MULTILINE)


def test_what_builds_the_pages_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    pinned = (ROOT / "constraints.txt").read_text("utf-8").lower()
    for requirement in project["optional-dependencies"]["docs"]:
        name = re.match(r"[\w-]+", requirement)
        assert name is not None
        assert f"\n{name[0]}==" in pinned, name[0]


@pytest.mark.slow
def test_pages_build_without_warnings(tmp_path: Path) -> None:
    pytest.importorskip("sphinx")
    pytest.importorskip("furo")
    docs = shutil.copytree(DOCS, tmp_path / "docs", ignore=shutil.ignore_patterns("_build"))
    for name in ("CHANGELOG.md", "CONTRIBUTING.md", "gs_esd"):
        (tmp_path / name).symlink_to(ROOT / name)
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", "-b", "html", "-W", "-q", docs, tmp_path / "html"],
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert built.returncode == 0, built.stderr
    assert "rasterization" in (tmp_path / "html/api/rendering.html").read_text("utf-8")
