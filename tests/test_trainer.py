import dataclasses
import json
import math
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from gs_esd import trainer as trainer_module
from gs_esd.build.components import Components, build_components
from gs_esd.cameras.views import Views
from gs_esd.config.options import BallInitConfig, Config, SolidBackgroundConfig, VsdConfig
from gs_esd.config.schedule import (
    EntropicTimeRange,
    EntropicTimestepsConfig,
    StageConfig,
    StagesConfig,
)
from gs_esd.errors import NonFiniteError, UserError
from gs_esd.run.checkpoint import load_checkpoint
from gs_esd.run.interrupt import Interrupted
from gs_esd.trainer import Trainer, is_finished
from tests.helpers.tiny_runs import DENSIFY, STEPS, tiny

RUN_FOLDER = [
    "checkpoints/last.pt",
    "metrics.json",
    "metrics.jsonl",
    "preview.png",
    "splats.ply",
    "turntable.mp4",
]


@pytest.fixture(autouse=True)
def every_step_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer_module, "LOG_EVERY", 1)


def finished(config: Config, folder: Path) -> Trainer:
    trainer = Trainer.from_config(config, folder)
    trainer.train()
    return trainer


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Trainer]:
    """The uninterrupted run with a densification, made once."""
    runs: dict[str, Trainer] = {}

    def run(densify: str) -> Trainer:
        if densify not in runs:
            folder = tmp_path_factory.mktemp(densify)
            runs[densify] = finished(tiny(densify=DENSIFY[densify]), folder)
        return runs[densify]

    return run


def logged(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def splat(trainer: Trainer) -> bytes:
    return (trainer.run_dir / "splats.ply").read_bytes()


def same_splats(a: Trainer, b: Trainer) -> bool:
    return all(
        torch.equal(a.components.splats[name], b.components.splats[name])
        for name in a.components.splats
    )


class Prior:
    """A run's own prior, that notes what it is asked and does something before one answer."""

    def __init__(
        self, components: Components, at_call: int, act: Callable[[Tensor], Tensor]
    ) -> None:
        self.inner, self.at_call, self.act = components.prior, at_call, act
        self.shapes: list[tuple[int, ...]] = []

    def encode(self, images: Tensor) -> Tensor:
        return self.inner.encode(images)

    def predict_noise(self, x_t: Tensor, log_snr: Tensor, views: Views) -> Tensor:
        self.shapes.append(tuple(x_t.shape))
        noise = self.inner.predict_noise(x_t, log_snr, views)
        return self.act(noise) if len(self.shapes) == self.at_call + 1 else noise


def with_prior(
    config: Config, folder: Path, at_call: int = -2, act: Callable[[Tensor], Tensor] = torch.clone
) -> tuple[Trainer, Prior]:
    components = build_components(config)
    prior = Prior(components, at_call, act)
    return Trainer(config, folder, dataclasses.replace(components, prior=prior)), prior


def test_a_run_leaves_all_files_and_no_others(straight: Callable[[str], Trainer]) -> None:
    folder = straight("none").run_dir
    files = sorted(str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file())
    assert files == RUN_FOLDER
    assert all((folder / name).stat().st_size > 0 for name in files)
    assert is_finished(folder)


def test_every_logged_step_has_its_scalars_once(straight: Callable[[str], Trainer]) -> None:
    lines = logged(straight("default").run_dir)
    assert [line["step"] for line in lines] == list(range(1, STEPS + 1))
    for line in lines:
        assert {
            "grad_norm",
            "lambda_esd",
            "log_snr",
            "view_kl",
            "alpha",
            "gaussians",
        } <= line.keys()
        assert all(math.isfinite(value) for value in line.values())


def test_lines_are_logged_now_and_then_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_module, "LOG_EVERY", 5)
    trainer = Trainer.from_config(tiny(), tmp_path)
    for _ in range(STEPS):
        trainer.train_step()
    assert [line["step"] for line in logged(tmp_path)] == [5, 10, 12]


@pytest.mark.parametrize("densify", ["default", "mcmc"])
def test_densification_happens_within_the_tiny_run(
    straight: Callable[[str], Trainer], densify: str
) -> None:
    counts = [line["gaussians"] for line in logged(straight(densify).run_dir)]
    assert counts[0] == 60
    assert counts[5] > 60
    assert counts[-1] > counts[5]


# The first densification is after step 4, the second after 6; the middle stage begins at 5.
@pytest.mark.parametrize("stop", [1, 5, 7])
@pytest.mark.parametrize("densify", DENSIFY)
def test_a_run_that_goes_on_ends_bit_identical(
    straight: Callable[[str], Trainer], tmp_path: Path, densify: str, stop: int
) -> None:
    config = tiny(densify=DENSIFY[densify])
    begun = Trainer.from_config(config, tmp_path)
    for _ in range(stop):
        begun.train_step()
    begun.save()
    begun.train_step()  # lost with the process that is killed now
    assert not is_finished(tmp_path)

    went_on = Trainer.from_config(config, tmp_path)
    assert went_on.step == stop
    went_on.train()

    assert splat(went_on) == splat(straight(densify))
    assert same_splats(went_on, straight(densify))
    assert logged(tmp_path) == logged(straight(densify).run_dir)


def test_two_runs_of_a_seed_are_equal_and_of_two_seeds_are_not(
    straight: Callable[[str], Trainer], tmp_path: Path
) -> None:
    assert splat(finished(tiny(), tmp_path / "same")) == splat(straight("none"))
    assert splat(finished(tiny(seed=1), tmp_path / "other")) != splat(straight("none"))


def test_how_often_is_saved_and_previewed_changes_nothing(
    straight: Callable[[str], Trainer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trainer_module, "FIRST_PREVIEW_S", 0.0)
    often = finished(tiny(checkpoint_every_s=0.0, preview_every_s=0.0), tmp_path)
    assert same_splats(often, straight("none"))


def test_a_preview_comes_before_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer_module, "FIRST_PREVIEW_S", 0.0)
    trainer, _ = with_prior(tiny(), tmp_path, 3, fail_with(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert (tmp_path / "preview.png").stat().st_size > 0


def test_lines_of_a_run_killed_before_its_first_checkpoint_are_dropped(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 10, "grad_norm": 1.0}\n{"step": 20, "lo')
    finished(tiny(), tmp_path)
    assert [line["step"] for line in logged(tmp_path)] == list(range(1, STEPS + 1))


def test_a_finished_runs_checkpoint_needs_no_more_steps(
    straight: Callable[[str], Trainer], tmp_path: Path
) -> None:
    first = finished(tiny(), tmp_path)
    for name in ("metrics.json", "splats.ply"):
        (tmp_path / name).unlink()
    trainer, prior = with_prior(tiny(), tmp_path)
    trainer.train()
    assert prior.shapes == []
    assert splat(trainer) == splat(straight("none"))
    assert trainer.seconds == first.seconds


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_step_and_keeps_it(
    straight: Callable[[str], Trainer], tmp_path: Path, number: signal.Signals
) -> None:
    def send(noise: Tensor) -> Tensor:
        signal.raise_signal(number)
        return noise

    trainer, prior = with_prior(tiny(), tmp_path, 3, send)
    with pytest.raises(Interrupted) as stopped:
        trainer.train()
    assert stopped.value.args == (number,)
    assert len(prior.shapes) == 4
    assert load_checkpoint(trainer.checkpoint)["step"] == 4
    assert splat(finished(tiny(), tmp_path)) == splat(straight("none"))


def fail_with(error: BaseException) -> Callable[[Tensor], Tensor]:
    def act(noise: Tensor) -> Tensor:
        raise error

    return act


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_non_finite_gradient_names_the_step_and_keeps_the_good_checkpoint(
    straight: Callable[[str], Trainer], tmp_path: Path, bad: float
) -> None:
    config = tiny(checkpoint_every_s=0.0)

    def spoil(noise: Tensor) -> Tensor:
        noise[0, 0, 0, 0] = bad
        return noise

    trainer, _ = with_prior(config, tmp_path, 5, spoil)
    with pytest.raises(NonFiniteError, match=r"step 5: a logged number or a gradient") as caught:
        trainer.train()
    assert str(trainer.checkpoint) in str(caught.value)
    assert "learning_rates" in str(caught.value)

    kept = load_checkpoint(trainer.checkpoint)
    assert kept["step"] == 5
    parameters = kept["particles"][0]["splats"]["parameters"]
    assert all(bool(parameter.isfinite().all()) for parameter in parameters.values())
    assert not is_finished(tmp_path)
    assert splat(finished(config, tmp_path)) == splat(straight("none"))


def test_a_non_finite_parameter_is_found_before_it_is_saved(tmp_path: Path) -> None:
    config = tiny(checkpoint_every_s=0.0)
    trainer = Trainer.from_config(config, tmp_path)
    densifier = trainer.components.densifier

    def spoil(step: int, info: dict[str, Any]) -> None:
        if step == 2:
            trainer.components.splats["scales"].data[0, 0] = math.nan

    densifier.step_post_backward = spoil  # type: ignore[method-assign]
    with pytest.raises(NonFiniteError, match="step 2: the splats' scales became NaN"):
        trainer.train()
    assert load_checkpoint(trainer.checkpoint)["step"] == 2


def test_a_step_that_went_wrong_is_told_though_it_is_looked_at_later(tmp_path: Path) -> None:
    trainer, prior = with_prior(tiny(), tmp_path, 5, lambda noise: noise * math.nan)
    trainer.sync_every = 4
    with pytest.raises(NonFiniteError, match="step 5: a logged number or a gradient"):
        trainer.train()
    assert len(prior.shapes) == 8


def test_looking_seldom_changes_nothing_but_what_is_told(
    straight: Callable[[str], Trainer], tmp_path: Path
) -> None:
    trainer, _ = with_prior(tiny(densify=DENSIFY["default"]), tmp_path)
    trainer.sync_every = 5
    trainer.train()
    assert splat(trainer) == splat(straight("default"))


def test_a_failure_before_the_first_checkpoint_says_that_there_is_none(tmp_path: Path) -> None:
    trainer, _ = with_prior(tiny(), tmp_path, 0, lambda noise: noise * math.nan)
    with pytest.raises(NonFiniteError, match=r"step 0: .* no checkpoint yet"):
        trainer.train()


def test_a_transparent_splats_is_refused_with_a_remedy(tmp_path: Path) -> None:
    trainer = Trainer.from_config(tiny(init=BallInitConfig(60, opacity=1e-4)), tmp_path)
    with pytest.raises(UserError, match=r"transparent.*learning_rates\.opacities.*init\.opacity"):
        trainer.train()
    assert not is_finished(tmp_path)


@pytest.mark.parametrize("what", ["truncated", "no checkpoint"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, what: str) -> None:
    trainer = Trainer.from_config(tiny(), tmp_path)
    trainer.save()
    good = trainer.checkpoint.read_bytes()
    bad = good[: len(good) // 2] if what == "truncated" else b"no checkpoint"
    trainer.checkpoint.write_bytes(bad)
    with pytest.raises(UserError, match=r"last\.pt cannot be read .* Delete it"):
        Trainer.from_config(tiny(), tmp_path)
    assert trainer.checkpoint.read_bytes() == bad


def test_learning_rates_decay_exponentially_to_the_final_fraction(tmp_path: Path) -> None:
    config = tiny(densify=DENSIFY["default"])
    trainer = Trainer.from_config(config, tmp_path)
    for step in range(STEPS):
        trainer.train_step()
        decay = config.learning_rates.final_fraction ** (step / STEPS)
        for name, optimizer in trainer.components.optimizers.items():
            expected = getattr(config.learning_rates, name) * decay
            assert optimizer.param_groups[0]["lr"] == pytest.approx(expected)
    assert set(trainer.components.optimizers) == {
        "means",
        "quats",
        "scales",
        "opacities",
        "sh0",
        "shN",
    }


def test_stages_set_the_size_and_number_of_images(tmp_path: Path) -> None:
    trainer, prior = with_prior(tiny(), tmp_path)
    while trainer.step < STEPS:
        trainer.train_step()
    sizes = [(shape[0], shape[-1]) for shape in prior.shapes]
    assert sizes == [(4, 8)] * 5 + [(4, 16)] * 7
    coarse, middle, fine = (tiny().stages.coarse, tiny().stages.middle, tiny().stages.fine)
    expected = [coarse] * 5 + [middle] * 3 + [fine] * 4
    for trainer.step, stage in enumerate(expected):
        assert trainer.stage() == stage


def test_renderings_move_towards_the_priors_images(tmp_path: Path) -> None:
    last, level = StageConfig(1.0, 16, 4), EntropicTimeRange(0.5, 0.6)
    config = tiny(
        steps=60,
        lambda_esd=0.0,
        stages=StagesConfig(
            dataclasses.replace(last, until=0.3), dataclasses.replace(last, until=0.6), last
        ),
        timesteps=EntropicTimestepsConfig(level, level, level),
        background=SolidBackgroundConfig(),
    )
    trainer = Trainer.from_config(config, tmp_path)
    squares = [trainer.train_step()["grad_norm"] ** 2 for _ in range(60)]
    assert sum(squares[-10:]) < 0.7 * sum(squares[:10])


def after(steps: int, folder: Path, **changes: Any) -> Trainer:
    trainer = Trainer.from_config(tiny(**changes), folder)
    for _ in range(steps):
        trainer.train_step()
    return trainer


def test_lambda_changes_the_run_and_0_is_vsd(tmp_path: Path) -> None:
    entropic = after(8, tmp_path, lambda_esd=1.0)
    none = after(8, tmp_path, lambda_esd=0.0)
    assert not same_splats(entropic, none)
    assert same_splats(none, after(8, tmp_path, lambda_esd=0.0, guidance=VsdConfig()))


def with_levels(log_snr: float, folder: Path, **changes: Any) -> Trainer:
    """A run that noises everything alike."""
    components = build_components(tiny(**changes))
    components = dataclasses.replace(
        components, levels=lambda views, progress, generator: torch.full((4,), log_snr)
    )
    return Trainer(tiny(**changes), folder, components)


@pytest.mark.parametrize(
    ("log_snr", "changes", "warnings"),
    [
        (12.0, {"lambda_esd": 1.0}, 1),
        (12.0, {"lambda_esd": 0.0}, 0),
        (12.0, {"lambda_esd": 0.0, "guidance": VsdConfig()}, 0),
        (-12.0, {"lambda_esd": 1.0}, 0),
    ],
)
def test_a_run_is_warned_once_where_lambda_has_nothing_to_act_on(
    log_snr: float,
    changes: dict[str, Any],
    warnings: int,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for _ in range(3):  # stopped within what is counted, and just after
        trainer = with_levels(log_snr, tmp_path, **changes)
        for _ in range(3 if trainer.step == 0 else 2):
            view_kl = trainer.train_step()["view_kl"]
            assert (view_kl > 10) == (log_snr > 0)
        trainer.save()
    assert sum("view KL" in record.getMessage() for record in caplog.records) == warnings


def test_one_rendering_has_no_view_kl(tmp_path: Path) -> None:
    one = dataclasses.replace(tiny().stages.coarse, views=1)
    stages = dataclasses.replace(tiny().stages, coarse=one)
    trainer = Trainer.from_config(tiny(stages=stages), tmp_path)
    assert "view_kl" not in trainer.train_step()
