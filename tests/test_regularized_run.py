"""Runs with regularisers, clamped renderings and varied cameras."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from gs_esd import trainer as trainer_module
from gs_esd.config.options import CamerasConfig, Config, LearningRatesConfig
from gs_esd.config.regularizers import RegularizersConfig
from gs_esd.trainer import Trainer
from tests.helpers.rank_runs import REGULARIZED
from tests.helpers.tiny_runs import DENSIFY, STEPS, tiny

CAMERAS = CamerasConfig(distance_jitter=0.1, fov_jitter_deg=15.0, elevation_min_deg=-10.0)


def varied(**changes: Any) -> Config:
    return tiny(
        densify=DENSIFY["default"],
        regularizers=REGULARIZED,
        clamp_renderings=True,
        cameras=CAMERAS,
        **changes,
    )


def finished(config: Config, folder: Path, stops: tuple[int, ...] = ()) -> bytes:
    """The splats of a run that is killed after some steps, at its checkpoint, and resumed."""
    for stop in stops:
        begun = Trainer.from_config(config, folder)
        while begun.step < stop:
            begun.train_step()
        begun.save()
    Trainer.from_config(config, folder).train()
    return (folder / "splats.ply").read_bytes()


def test_resumed_run_is_bit_identical(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer_module, "LOG_EVERY", 1)
    straight = finished(varied(), tmp_path / "straight")
    assert finished(varied(), tmp_path / "resumed", stops=(3, 7)) == straight
    lines = (tmp_path / "resumed" / "metrics.jsonl").read_text()
    assert lines == (tmp_path / "straight" / "metrics.jsonl").read_text()
    scalars = json.loads(lines.splitlines()[0])
    assert {f"loss_{name}" for name in ("scale", "opacity", "tv_depth")} <= scalars.keys()
    assert len(lines.splitlines()) == STEPS


def test_regularizers_of_weight_0_change_no_byte(tmp_path: Path) -> None:
    usual = finished(tiny(), tmp_path / "usual")
    off = tiny(regularizers=RegularizersConfig(max_scale_ratio=3.0))
    assert finished(off, tmp_path / "off") == usual
    on = tiny(regularizers=RegularizersConfig(scale=1.0))
    assert finished(on, tmp_path / "on") != usual


def test_clamp_changes_no_byte_while_colours_are_in_range(tmp_path: Path) -> None:
    """A short run's colours stay near grey, where the clamp and its gradient are the identity."""
    usual = finished(tiny(steps=3), tmp_path / "usual")
    assert finished(tiny(steps=3, clamp_renderings=True), tmp_path / "clamped") == usual


def test_prior_gets_images_in_range(tmp_path: Path) -> None:
    for clamped in (False, True):
        trainer = Trainer.from_config(tiny(clamp_renderings=clamped), tmp_path)
        trainer.components.splats["sh0"].data.fill_(10.0)
        seen: list[torch.Tensor] = []
        encode = trainer.components.prior.encode

        def note(
            images: torch.Tensor, encode: Any = encode, seen: list[torch.Tensor] = seen
        ) -> Any:
            seen.append(images)
            return encode(images)

        trainer.components.prior.encode = note  # type: ignore[method-assign]
        trainer.train_step()
        assert bool(seen[0].max() <= 1 + 1e-6) == clamped
        assert float(seen[0].min()) >= 0


def test_too_bright_colours_return(tmp_path: Path) -> None:
    rates = LearningRatesConfig(sh0=0.2)
    config = tiny(steps=40, clamp_renderings=True, lambda_esd=0.0, learning_rates=rates)
    trainer = Trainer.from_config(config, tmp_path)
    trainer.components.splats["sh0"].data.fill_(4.0)  # of 0.5 + 1.1
    while trainer.step < 40:
        trainer.train_step()
    assert float(trainer.components.splats["sh0"].detach().median()) < 2.5


def test_densification_takes_its_statistics_from_distillation(tmp_path: Path) -> None:
    states = []
    for name, weights in (("off", RegularizersConfig()), ("on", REGULARIZED)):
        config = tiny(densify=DENSIFY["default"], regularizers=weights)
        trainer = Trainer.from_config(config, tmp_path / name)
        trainer.train_step()
        states.append(trainer.components.densifier.state_dict()["strategy"]["grad2d"])
    torch.testing.assert_close(states[1], states[0], rtol=1e-4, atol=1e-6)
    assert float(states[0].max()) > 0


def test_previews_take_the_middle_of_the_ranges(tmp_path: Path) -> None:
    plain = replace(CAMERAS, distance_jitter=0.0, fov_jitter_deg=0.0)
    images = [
        Trainer.from_config(tiny(cameras=cameras), tmp_path / str(number)).save_preview()
        for number, cameras in enumerate((plain, CAMERAS))
    ]
    assert torch.equal(*images)
