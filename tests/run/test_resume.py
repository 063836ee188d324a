"""Runs that are interrupted by signals and resumed by the same command, bit for bit."""

import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from gs_esd.run.checkpoint import RENAMED_STATES

ROOT = Path(__file__).parents[2]
COMMAND = [
    sys.executable,
    str(ROOT / "train.py"),
    "experiment=quick",
    "prompt=a corgi",
    "steps=60",
    "prior.num_images=24",
    "init.gaussians=60",
    "stages.coarse.resolution=8",
    "stages.fine.resolution=16",
    "densify.every=5",
    "hardware.threads=1",
    "checkpoint_every_s=0",
]
TIMEOUT_S = 240
STATUS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}
KEPT = ("splats.ply", "preview.png", "turntable.mp4", "metrics.json", "checkpoints/last.pt")


@dataclass(frozen=True)
class Ended:
    """A command that has ended, and where it ran."""

    place: Path
    status: int
    stdout: str
    stderr: str

    @property
    def folder(self) -> Path:
        [folder] = (self.place / "outputs/quick/a-corgi").iterdir()
        return folder

    def contents(self) -> dict[str, bytes]:
        files = [file for file in self.folder.rglob("*") if file.is_file()]
        return {file.name: file.read_bytes() for file in files if file.name != "train.log"}


def start(place: Path, *more: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen([*COMMAND, *more], cwd=place, stdout=pipe, stderr=pipe, text=True)


def end(process: subprocess.Popen[str], place: Path) -> Ended:
    try:
        stdout, stderr = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
    return Ended(place, process.returncode, stdout, stderr)


def run(place: Path, *more: str) -> Ended:
    return end(start(place, *more), place)


def interrupt(place: Path, number: signal.Signals) -> Ended:
    """Start or continue a run and send it a signal once it has logged ten steps more."""
    before = lines_logged(place)
    process = start(place)
    deadline = time.monotonic() + TIMEOUT_S
    while lines_logged(place) <= before:
        assert process.poll() is None, "the run ended before it was interrupted"
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(number)
    return end(process, place)


def lines_logged(place: Path) -> int:
    files = place.glob("outputs/quick/a-corgi/*/metrics.jsonl")
    return sum(file.read_text(encoding="utf-8").count("\n") for file in files)


def copied(ended: Ended, place: Path) -> Ended:
    shutil.copytree(ended.place, place, dirs_exist_ok=True)
    return Ended(place, ended.status, ended.stdout, ended.stderr)


def splat(ended: Ended) -> bytes:
    return (ended.folder / "splats.ply").read_bytes()


def steps_logged(ended: Ended) -> list[str]:
    text = (ended.folder / "metrics.jsonl").read_text(encoding="utf-8")
    return re.findall(r'^\{"step": (\d+),', text, re.MULTILINE)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Ended:
    ended = run(tmp_path_factory.mktemp("straight"))
    assert ended.status == 0, ended.stderr
    return ended


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[signal.Signals, Ended]:
    """One run, ended by each signal in turn and continued in between."""
    place = tmp_path_factory.mktemp("interrupted")
    return {number: interrupt(place, number) for number in STATUS}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_names_the_remedy(
    interrupted: dict[signal.Signals, Ended], number: signal.Signals
) -> None:
    ended = interrupted[number]
    assert ended.status == STATUS[number], ended.stderr
    assert "the same command goes on" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_each_signal_leaves_a_checkpoint(
    interrupted: dict[signal.Signals, Ended],
) -> None:
    assert interrupted[signal.SIGKILL].status == STATUS[signal.SIGKILL]
    steps = [resumed_at(ended) for ended in interrupted.values()]
    assert steps[0] is None
    assert steps[1] is not None
    assert steps[2] is not None
    assert 10 <= steps[1] < steps[2] < 60


def resumed_at(ended: Ended) -> int | None:
    found = re.search(r"going on from step (\d+)", ended.stdout)
    return None if found is None else int(found[1])


def to_previous_release(folder: Path) -> None:
    """Rename what the previous release named otherwise in a run directory."""
    checkpoint = folder / "checkpoints" / "last.pt"
    content = torch.load(checkpoint, weights_only=True)
    content["state"].update(content["state"].pop("particles")[0])
    for old, new in RENAMED_STATES.items():
        content["state"][old] = content["state"].pop(new)
    torch.save(content, checkpoint)
    record = folder / ".hydra" / "config.yaml"
    text = record.read_text(encoding="utf-8")
    old_keys = {
        "weighting:": "omega:",
        "variational:": "rendered:",
        "buffer_size:": "memory:",
        "num_images:": "pictures:",
    }
    for new, old in old_keys.items():
        assert text.count(new) == 1
        text = text.replace(new, old)
    record.write_text(text, encoding="utf-8")


@pytest.mark.parametrize("release", ["this", "previous"])
def test_run_resumed_after_every_signal_is_bit_identical(
    release: str, straight: Ended, interrupted: dict[signal.Signals, Ended], tmp_path: Path
) -> None:
    here = copied(interrupted[signal.SIGKILL], tmp_path)
    assert not (here.folder / "metrics.json").exists()
    if release == "previous":
        to_previous_release(here.folder)
    ended = run(here.place)
    assert ended.status == 0, ended.stderr
    assert splat(ended) == splat(straight)
    assert steps_logged(ended) == ["10", "20", "30", "40", "50", "60"]


def test_damaged_checkpoint_is_refused_and_changes_nothing(
    interrupted: dict[signal.Signals, Ended], tmp_path: Path
) -> None:
    here = copied(interrupted[signal.SIGKILL], tmp_path)
    checkpoint = here.folder / "checkpoints" / "last.pt"
    damaged = bytearray(checkpoint.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    checkpoint.write_bytes(damaged)
    before = here.contents()

    ended = run(here.place)
    assert ended.status == 1
    assert "last.pt" in ended.stderr
    assert "Delete it to restart this run" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.contents() == before


def test_another_configuration_is_refused_by_key(
    interrupted: dict[signal.Signals, Ended], tmp_path: Path
) -> None:
    here = copied(interrupted[signal.SIGKILL], tmp_path)
    record = here.folder / ".hydra" / "config.yaml"
    text = record.read_text(encoding="utf-8")
    assert "seed: 0\n" in text
    record.write_text(text.replace("seed: 0\n", "seed: 7\n"), encoding="utf-8")
    before = here.contents()

    ended = run(here.place)
    assert ended.status == 1
    assert "seed: 7 in the checkpoint, 0 now" in ended.stderr
    assert "hydra.sweep.dir=FOLDER" in ended.stderr
    assert ended.contents() == before


def test_finished_run_is_not_repeated(straight: Ended) -> None:
    before = straight.contents()
    stamps = {name: (straight.folder / name).stat().st_mtime_ns for name in KEPT}
    again = run(straight.place)
    assert again.status == 0, again.stderr
    assert "nothing to do" in again.stdout
    assert "splats.ply" in again.stdout
    assert straight.contents() == before
    assert {name: (straight.folder / name).stat().st_mtime_ns for name in KEPT} == stamps
