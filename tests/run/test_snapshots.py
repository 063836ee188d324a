"""Snapshots of a run under way: what they hold, that they cost nothing but time, and their end."""

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
from gs_esd.run import snapshots as live
from gs_esd.run.snapshots import Snapshots, most_visible
from gs_esd.trainer import Trainer
from tests.helpers.splat_files import colorful_splats
from tests.helpers.tiny_runs import DENSIFY, STEPS, tiny

PROMPT = "a corgi of Zürich, 猫 🐕"


@pytest.fixture
def every_step(monkeypatch: pytest.MonkeyPatch) -> Config:
    """A run with a snapshot before each of its steps."""
    monkeypatch.setattr(live, "MOST_TIME", math.inf)
    return tiny(prompt=PROMPT, seed=3, snapshot_every_s=0.0, densify=DENSIFY["mcmc"])


def watched(config: Config, folder: Path, look: Callable[[], None]) -> Trainer:
    """A finished run; `look` was called after every one of its steps."""
    trainer = Trainer.from_config(config, folder)
    step = trainer.train_step

    def train_step() -> dict[str, float]:
        scalars = step()
        look()
        return scalars

    trainer.train_step = train_step  # type: ignore[method-assign]
    trainer.train()
    return trainer


def test_a_snapshot_is_the_splats_and_says_how_far_it_is(
    every_step: Config, tmp_path: Path
) -> None:
    seen = []

    def look() -> None:
        splats, told = load_splats(tmp_path / "live.ply"), load_metadata(tmp_path / "live.ply")
        seen.append((len(splats["means"]), told["step"]))
        expected = {"prompt": PROMPT, "lambda_esd": 1.0, "seed": 3, "guidance": "esd"}
        assert told | expected | {"steps": STEPS} == told

    watched(every_step, tmp_path, look)
    assert [step for _, step in seen] == list(range(STEPS))
    assert seen[0][0] == 60 < seen[-1][0]


def test_snapshots_change_no_bit_of_a_run(every_step: Config, tmp_path: Path) -> None:
    state = torch.random.get_rng_state()
    often = watched(every_step, tmp_path / "often", lambda: None)
    assert torch.equal(torch.random.get_rng_state(), state)
    never = Trainer.from_config(every_step, tmp_path / "never")
    never.train_step()  # the loop's only place where snapshots are made is left out
    while never.step < STEPS:
        never.train_step()
    for name, values in never.components.splats.items():
        assert torch.equal(values, often.components.splats[name])


def test_who_follows_a_run_always_finds_one_whole_splat(
    every_step: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[int] = []
    write_results = trainer_module.write_results

    def write(*arguments: Any) -> None:
        write_results(*arguments)
        assert (tmp_path / "live.ply").exists()

    monkeypatch.setattr(trainer_module, "write_results", write)
    ended = threading.Event()

    def follow() -> None:
        while not ended.is_set():
            file = next(f for f in (tmp_path / "splats.ply", tmp_path / "live.ply") if f.exists())
            found.append(len(load_splats(file)["means"]))

    follower = threading.Thread(target=follow)
    failures: list[object] = []
    threading.excepthook, usual = failures.append, threading.excepthook
    Snapshots(every_step, tmp_path).update(colorful_splats(60, 0), 0)
    follower.start()
    try:
        Trainer.from_config(every_step, tmp_path).train()
        ended.set()
        follower.join()
    finally:
        threading.excepthook = usual
    assert not failures
    assert len(set(found)) > 1
    assert not (tmp_path / "live.ply").exists()
    assert not list(tmp_path.glob(".*partial*"))


def test_a_stopped_run_keeps_its_last_snapshot(every_step: Config, tmp_path: Path) -> None:
    def stop() -> None:
        if load_metadata(tmp_path / "live.ply")["step"] == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watched(every_step, tmp_path, stop)
    assert load_metadata(tmp_path / "live.ply")["step"] == 5


def full_disk(folder: Path) -> None:
    (folder / ".live.partial.ply").symlink_to("/dev/full")


def taken_name(folder: Path) -> None:
    (folder / "live.ply").mkdir()


@pytest.mark.parametrize("spoil", [full_disk, taken_name])
def test_a_snapshot_that_cannot_be_written_is_warned_of_once_and_the_run_goes_on(
    every_step: Config,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    spoil: Callable[[Path], None],
) -> None:
    spoil(tmp_path)
    trainer = watched(every_step, tmp_path, lambda: None)
    assert trainer.step == STEPS
    assert (tmp_path / "metrics.json").exists()
    told = [record for record in caplog.records if record.levelname == "WARNING"]
    assert [record.getMessage().count("no snapshot") for record in told] == [1]
    assert str(tmp_path / "live.ply") in told[0].getMessage()


def test_snapshots_go_on_once_they_can_be_written_again(
    every_step: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    snapshots, splats = Snapshots(every_step, tmp_path), colorful_splats(5, 0)
    full_disk(tmp_path)
    snapshots.update(splats, 1)
    assert not (tmp_path / "live.ply").exists()
    snapshots.update(splats, 2)
    assert load_metadata(tmp_path / "live.ply")["step"] == 2


@pytest.mark.parametrize(("every_s", "write_s", "expected"), [(5, 0, [0, 5, 10]), (5, 1, [0, 51])])
def test_snapshots_keep_their_interval_and_take_little_of_the_time(
    every_s: float,
    write_s: float,
    expected: list[int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, written = [0.0], []
    monkeypatch.setattr(live.time, "monotonic", lambda: clock[0])
    snapshots = Snapshots(tiny(snapshot_every_s=every_s), tmp_path)

    def write(splats: ParameterDict, step: int) -> None:
        written.append(step)
        clock[0] += write_s

    monkeypatch.setattr(snapshots, "_write", write)
    for second in range(15 if write_s == 0 else 60):
        clock[0] = max(clock[0], second)
        snapshots.update(colorful_splats(1, 0), second)
    assert written == expected


def test_small_splats_are_kept_whole_and_large_ones_lose_what_is_seen_least() -> None:
    splats = colorful_splats(200, 1)
    assert most_visible(splats, 200) is splats
    some = most_visible(splats, 120)
    place = [int((splats["means"] == mean).all(dim=1).nonzero()) for mean in some["means"]]
    assert place == sorted(place)
    assert all(torch.equal(some[name], splats[name][place]) for name in splats)
    same = most_visible(splats, 120)
    assert all(torch.equal(same[name], some[name]) for name in some)


def test_half_of_the_gaussians_show_nearly_the_whole() -> None:
    splats = colorful_splats(400, 0)
    splats["opacities"].data[::2] = -6.0
    orbit = Orbit(3.0, 0.7, 0.0, 0.5)

    def images(shown: ParameterDict) -> torch.Tensor:
        return torch.cat(list(orbit_images(shown, orbit, 64, 4)))

    error = (images(most_visible(splats, 200)) - images(splats)).square().mean()
    assert error < 1e-3


def test_a_snapshot_of_the_limit_takes_a_fraction_of_a_second(tmp_path: Path) -> None:
    splats = colorful_splats(live.LIMIT + 1000, 0)
    snapshots = Snapshots(tiny(), tmp_path)
    started = time.monotonic()
    snapshots.update(splats, 0)
    assert time.monotonic() - started < 5
    assert len(load_splats(tmp_path / "live.ply")["means"]) == live.LIMIT
