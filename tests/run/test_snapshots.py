"""live.ply during a run: its contents, its cost, and its removal at the end."""

import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import ParameterDict

from gs_esd import trainer as trainer_module
from gs_esd.cameras.orbit import Orbit
from gs_esd.config.options import Config
from gs_esd.export.images import orbit_images
from gs_esd.export.ply import load_metadata, load_splats
from gs_esd.run import snapshots as snapshots_module
from gs_esd.run.snapshots import Snapshots, most_visible
from gs_esd.trainer import Trainer
from tests.helpers.splat_files import colorful_splats
from tests.helpers.tiny_runs import DENSIFY, STEPS, tiny

PROMPT = "a corgi of Zürich, 猫 🐕"


@pytest.fixture
def every_step(monkeypatch: pytest.MonkeyPatch) -> Config:
    """A run with a snapshot before each of its steps."""
    monkeypatch.setattr(snapshots_module, "MAX_TIME_SHARE", math.inf)
    return tiny(prompt=PROMPT, seed=3, snapshot_every_s=0.0, densify=DENSIFY["mcmc"])


def finished_run(config: Config, folder: Path, after_step: Callable[[], None]) -> Trainer:
    """A finished run; `after_step` was called after each of its steps."""
    trainer = Trainer.from_config(config, folder)
    step = trainer.train_step

    def train_step() -> dict[str, float]:
        scalars = step()
        after_step()
        return scalars

    trainer.train_step = train_step  # type: ignore[method-assign]
    trainer.train()
    return trainer


def test_snapshot_has_the_splats_and_the_step(every_step: Config, tmp_path: Path) -> None:
    found = []

    def after_step() -> None:
        splats, metadata = load_splats(tmp_path / "live.ply"), load_metadata(tmp_path / "live.ply")
        found.append((len(splats["means"]), metadata["step"]))
        expected = {"prompt": PROMPT, "lambda_esd": 1.0, "seed": 3, "guidance": "esd"}
        assert metadata | expected | {"steps": STEPS} == metadata

    finished_run(every_step, tmp_path, after_step)
    assert [step for _, step in found] == list(range(STEPS))
    assert found[0][0] == 60 < found[-1][0]


def test_snapshots_change_no_bit_of_a_run(every_step: Config, tmp_path: Path) -> None:
    state = torch.random.get_rng_state()
    often = finished_run(every_step, tmp_path / "often", lambda: None)
    assert torch.equal(torch.random.get_rng_state(), state)
    never = Trainer.from_config(every_step, tmp_path / "never")
    never.train_step()  # the loop's only place where snapshots are made is left out
    while never.step < STEPS:
        never.train_step()
    for name, values in never.components.splats.items():
        assert torch.equal(values, often.components.splats[name])


def test_a_complete_ply_exists_at_any_time(
    every_step: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[int] = []
    write_results = trainer_module.write_results

    def write(*arguments: Any) -> None:
        write_results(*arguments)
        assert (tmp_path / "live.ply").exists()

    monkeypatch.setattr(trainer_module, "write_results", write)
    ended = threading.Event()

    def poll() -> None:
        while not ended.is_set():
            file = next(f for f in (tmp_path / "splats.ply", tmp_path / "live.ply") if f.exists())
            found.append(len(load_splats(file)["means"]))

    poller = threading.Thread(target=poll)
    failures: list[object] = []
    threading.excepthook, original = failures.append, threading.excepthook
    Snapshots(every_step, tmp_path).update([colorful_splats(60, 0)], 0)
    poller.start()
    try:
        Trainer.from_config(every_step, tmp_path).train()
    finally:
        ended.set()
        poller.join(60)
        threading.excepthook = original
    assert not failures
    assert len(set(found)) > 1
    assert not (tmp_path / "live.ply").exists()
    assert not list(tmp_path.glob(".*partial*"))


def test_interrupted_run_keeps_its_last_snapshot(every_step: Config, tmp_path: Path) -> None:
    def stop() -> None:
        if load_metadata(tmp_path / "live.ply")["step"] == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finished_run(every_step, tmp_path, stop)
    assert load_metadata(tmp_path / "live.ply")["step"] == 5


def full_disk(folder: Path) -> None:
    (folder / ".live.partial.ply").symlink_to("/dev/full")


def occupied_name(folder: Path) -> None:
    (folder / "live.ply").mkdir()


@pytest.mark.parametrize("spoil", [full_disk, occupied_name])
def test_unwritable_snapshot_is_warned_of_once(
    every_step: Config,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[Path], None],
) -> None:
    spoil(tmp_path)
    trainer = finished_run(every_step, tmp_path, lambda: None)
    assert trainer.step == STEPS
    assert (tmp_path / "metrics.json").exists()
    warnings = [record for record in caplog.records if record.name == snapshots_module.__name__]
    assert [record.levelname for record in warnings] == ["WARNING"]
    assert "no snapshot" in warnings[0].getMessage()
    assert str(tmp_path / "live.ply") in warnings[0].getMessage()


def test_snapshots_resume_once_writable(
    every_step: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    snapshots, splats = Snapshots(every_step, tmp_path), colorful_splats(5, 0)
    full_disk(tmp_path)
    snapshots.update([splats], 1)
    assert not (tmp_path / "live.ply").exists()
    snapshots.update([splats], 2)
    assert load_metadata(tmp_path / "live.ply")["step"] == 2


@pytest.mark.parametrize(("every_s", "write_s", "expected"), [(5, 0, [0, 5, 10]), (5, 1, [0, 51])])
def test_interval_and_time_share(
    every_s: float,
    write_s: float,
    expected: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, written = [0.0], []
    monkeypatch.setattr(snapshots_module.time, "monotonic", lambda: clock[0])
    snapshots = Snapshots(tiny(snapshot_every_s=every_s), tmp_path)

    def write(splats: ParameterDict, index: int, step: int) -> None:
        written.append(step)
        clock[0] += write_s

    monkeypatch.setattr(snapshots, "_write", write)
    for second in range(15 if write_s == 0 else 60):
        clock[0] = max(clock[0], second)
        snapshots.update([colorful_splats(1, 0)], second)
    assert written == expected


def test_most_visible_keeps_small_splats_and_their_order() -> None:
    splats = colorful_splats(200, 1)
    assert most_visible(splats, 200) is splats
    some = most_visible(splats, 120)
    place = [int((splats["means"] == mean).all(dim=1).nonzero()) for mean in some["means"]]
    assert place == sorted(place)
    assert all(torch.equal(some[name], splats[name][place]) for name in splats)
    same = most_visible(splats, 120)
    assert all(torch.equal(same[name], some[name]) for name in some)


def test_most_visible_keeps_the_image() -> None:
    splats = colorful_splats(400, 0)
    splats["opacities"].data[::2] = -6.0
    orbit = Orbit(3.0, 0.7, 0.0, 0.5)

    def images(shown: ParameterDict) -> torch.Tensor:
        return torch.cat(list(orbit_images(shown, orbit, 64, 4)))

    error = (images(most_visible(splats, 200)) - images(splats)).square().mean()
    assert error < 1e-3


def test_snapshot_of_many_gaussians_is_limited_and_fast(tmp_path: Path) -> None:
    splats = colorful_splats(snapshots_module.MAX_GAUSSIANS + 1000, 0)
    snapshots = Snapshots(tiny(), tmp_path)
    started = time.monotonic()
    snapshots.update([splats], 0)
    assert time.monotonic() - started < 5
    assert len(load_splats(tmp_path / "live.ply")["means"]) == snapshots_module.MAX_GAUSSIANS
