"""Programs of others, installed from npm at exact versions, for the tests that open our files."""

import fcntl
import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

INTEROP = Path(__file__).with_name("interop")


def installed(config: pytest.Config) -> Path:
    """The node_modules of tests/interop; kept in pytest's cache until the lock file changes.

    Skips the test where there is no node or npm, or the registry cannot be reached.
    """
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("needs node and npm, which are not installed")
    digest = hashlib.sha256((INTEROP / "package-lock.json").read_bytes()).hexdigest()[:12]
    assert config.cache is not None
    place = config.cache.mkdir("interop") / digest
    with open(place.with_suffix(".lock"), "w") as lock:  # tests may run side by side
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            _install(place)
    return place / "node_modules"


def _install(place: Path) -> None:
    asked = _npm("view", "three", "version", "--fetch-retries=0", cwd=place.parent)
    if asked.returncode:
        pytest.skip("needs packages from the npm registry, which cannot be reached")
    # Made elsewhere and then renamed: what was broken off is never taken for the whole.
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
        begun = Path(folder, "begun")
        begun.mkdir()
        for name in ("package.json", "package-lock.json"):
            shutil.copy(INTEROP / name, begun)
        made = _npm("ci", "--ignore-scripts", "--no-audit", "--no-fund", cwd=begun)
        assert made.returncode == 0, made.stderr
        begun.rename(place)


def _npm(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["npm", *words], cwd=cwd, capture_output=True, text=True, timeout=300)
