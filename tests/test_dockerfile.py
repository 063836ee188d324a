"""The container's recipe fits the rest of the repository; no engine is needed to see that."""

import fnmatch
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
STAGES = dict(re.findall(r"^FROM \S+ AS (\w+)\n(.*?)(?=^FROM |\Z)", TEXT, re.MULTILINE | re.DOTALL))
CUDA_OF_TORCH = {"2.13.0": "13.0"}
"""What torch.version.cuda says in the build on PyPI; to be looked up for another torch."""


def copied(stage: str) -> list[str]:
    lines = re.findall(r"^COPY (.+)$", STAGES[stage], re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


def sent() -> list[str]:
    """What .dockerignore leaves of the repository's files for an engine to see."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
    return [file for file in listed.stdout.split("\n") if file and _is_sent(file, rules)]


def _is_sent(file: str, rules: list[str]) -> bool:
    sent = True
    for rule in rules:
        pattern = rule.removeprefix("!")
        parts = [file, *(str(parent) for parent in Path(file).parents)]
        if pattern and rule[0] != "#" and any(fnmatch.fnmatch(part, pattern) for part in parts):
            sent = rule[0] == "!"
    return sent


def test_there_is_one_for_gpus_and_one_for_cpus_and_gpus_are_the_default() -> None:
    assert list(STAGES) == ["cpu", "cuda"]


@pytest.mark.parametrize("stage", ["cpu", "cuda"])
def test_all_that_is_copied_is_there_and_all_that_runs_is_copied(stage: str) -> None:
    assert all((ROOT / source).exists() for source in copied(stage))
    packages = {"gs_esd", "viewer", "conf"}
    needed = {"setup.py", "pyproject.toml", "README.md", "LICENSE", "constraints.txt"}
    assert set(copied(stage)) == packages | needed


def test_an_engine_is_sent_what_is_copied_and_little_else() -> None:
    files = sent()
    for source in copied("cuda"):
        assert any(file == source or file.startswith(f"{source}/") for file in files)
    assert not any(
        file.startswith(("tests/", "docs/", "benchmarks/", "viewer/web/")) for file in files
    )
    assert "viewer/static/index.html" in files
    assert "gs_esd/toyzoo/classifier.pt" in files


def test_the_compiler_is_of_the_cuda_that_torch_is_built_for() -> None:
    constraints = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    torch = re.search(r"^torch==([\d.]+)", constraints, re.MULTILINE)
    base = re.search(r"^FROM nvidia/cuda:(\d+\.\d+)\.\d+-devel-", TEXT, re.MULTILINE)
    assert torch is not None
    assert base is not None
    assert base[1] == CUDA_OF_TORCH[torch[1]]


@pytest.mark.parametrize("stage", ["cpu", "cuda"])
def test_nobody_is_root_and_weights_are_in_a_volume(stage: str) -> None:
    lines = STAGES[stage].split("\n")
    assert lines.index("USER 10001") > max(i for i, line in enumerate(lines) if "RUN " in line)
    assert "HF_HOME=/home/splat/models" in STAGES[stage]
    assert 'VOLUME ["/home/splat/models"]' in lines
    assert 'ENTRYPOINT ["gs-esd", "train"]' in lines
