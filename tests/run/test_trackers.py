"""TensorBoard and Weights & Biases: what is logged, and that they never change or end a run."""

from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gs_esd import trainer as trainer_module
from gs_esd.build import validate as validate_module
from gs_esd.build.validate import validate
from gs_esd.config.options import Config, TrackingConfig
from gs_esd.errors import UserError
from gs_esd.run import trackers as trackers_module
from gs_esd.run.interrupt import Interrupted
from gs_esd.run.trackers import Tracking
from gs_esd.trainer import Trainer
from tests.helpers.tiny_runs import STEPS, tiny


@pytest.fixture(autouse=True)
def everything_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer_module, "LOG_EVERY", 2)
    monkeypatch.setattr(trainer_module, "FIRST_PREVIEW_S", 0.0)


def events(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder / "tb"))
    accumulator.Reload()
    return accumulator


def steps_of(folder: Path) -> list[int]:
    return [event.step for event in events(folder).Scalars("train/grad_norm")]


def test_tensorboard_has_the_scalars_and_the_preview(tmp_path: Path) -> None:
    Trainer.from_config(tiny(tracking=TrackingConfig()), tmp_path).train()
    shown = events(tmp_path)
    assert steps_of(tmp_path) == list(range(2, STEPS + 1, 2))
    assert {"train/grad_norm", "train/view_kl", "train/gaussians"} <= set(shown.Tags()["scalars"])
    assert shown.Images("train/preview")[0].width == 4 * 8


def test_resumed_run_logs_every_step_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tiny(tracking=TrackingConfig())
    first = Trainer.from_config(config, tmp_path)
    # A checkpoint at step 4, and the end at step 9, as a kill would have it.
    monkeypatch.setattr(first, "train_step", stopping(first))
    with pytest.raises(Interrupted):
        first.train()
    Trainer.from_config(config, tmp_path).train()
    assert steps_of(tmp_path) == list(range(2, STEPS + 1, 2))


def stopping(trainer: Trainer) -> object:
    step = trainer.train_step

    def train_step() -> dict[str, float]:
        scalars = step()
        if trainer.step == 4:
            trainer.save()
        if trainer.step == 9:
            raise Interrupted
        return scalars

    return train_step


@pytest.mark.parametrize(("enabled", "installed"), [(False, True), (True, False)])
def test_no_events_without_tensorboard(
    enabled: bool, installed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trackers_module, "find_spec", lambda name: installed or None)
    config = tiny(tracking=TrackingConfig(tensorboard=enabled))
    with Tracking(config, tmp_path, 0) as tracking:
        tracking.scalars({"grad_norm": 1.0}, 1)
    assert not (tmp_path / "tb").exists()


def test_missing_wandb_is_reported_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validate_module, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"\.\[wandb\]"):
        validate(tiny(tracking=TrackingConfig(wandb=True)))


@pytest.fixture
def tracker_calls(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, object]]:
    """The calls of two fake trackers."""
    calls: list[tuple[str, object]] = []

    class Tracker:
        def __init__(self, *arguments: object) -> None: ...

        def scalars(self, scalars: object, step: int) -> None:
            calls.append(("scalars", step))

        def image(self, image: object, step: int) -> None:
            calls.append(("image", step))

        def close(self, *, failed: bool) -> None:
            calls.append(("failed" if failed else "closed", None))
            raise ConnectionError("no network")

    for name in ("TensorBoard", "WeightsAndBiases"):
        monkeypatch.setattr(trackers_module, name, Tracker)
    return calls


@pytest.mark.parametrize(
    ("error", "end"), [(None, "closed"), (ValueError, "failed"), (Interrupted, "closed")]
)
def test_trackers_are_closed_with_the_outcome_and_may_fail(
    tracker_calls: list[tuple[str, object]],
    error: type[BaseException] | None,
    end: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = tiny(tracking=TrackingConfig(wandb=True))
    with suppress(ValueError, Interrupted), Tracking(config, tmp_path, 0) as tracking:
        tracking.scalars({"grad_norm": 1.0}, 1)
        if error:
            raise error
    assert tracker_calls == [("scalars", 1)] * 2 + [(end, None)] * 2
    assert caplog.text.count("no network") == 2


@pytest.mark.skipif(find_spec("wandb") is None, reason="wandb is not installed")
def test_wandb_run_is_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    config = tiny(tracking=TrackingConfig(tensorboard=False, wandb=True))
    Trainer.from_config(config, tmp_path).train()
    identity = (tmp_path / "wandb_id").read_text()
    assert list(tmp_path.glob(f"wandb/offline-run-*-{identity}"))
    with Tracking(config, tmp_path, STEPS) as tracking:
        tracking.scalars({"grad_norm": 1.0}, STEPS)
    assert (tmp_path / "wandb_id").read_text() == identity


def test_tracking_does_not_change_a_run(tmp_path: Path) -> None:
    config: Config = tiny()
    tracked = replace(config, tracking=TrackingConfig())
    one, other = (
        Trainer.from_config(each, tmp_path / str(n)) for n, each in enumerate((config, tracked))
    )
    assert one.train_step() == other.train_step()
