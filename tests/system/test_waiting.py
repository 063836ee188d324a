"""What the finder of waits finds, and that a step of a network and a LoRA has none."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gs_esd.config.learned import DiffusersPriorConfig, LoraVariationalConfig, ViewPrompts
from gs_esd.config.options import TwoStageTimestepsConfig, Weighting
from gs_esd.trainer import Trainer
from tests.helpers.tiny_models import tiny_pipeline
from tests.helpers.tiny_runs import DENSIFY, tiny
from tests.helpers.waiting import Waits

MASK = torch.tensor([True, False, True])
X = torch.arange(3.0)


@pytest.mark.parametrize(
    "look",
    [
        lambda: float(X.sum()),
        lambda: bool(MASK.any()),
        lambda: X[MASK],
        lambda: torch.where(MASK),
        lambda: X.clone().index_put_((MASK,), X[:2]),
        lambda: X.unique(),
        lambda: X.tolist(),
    ],
)
def test_what_waits_is_found(look: Callable[[], object]) -> None:
    with Waits() as waits:
        look()
    assert len(waits.found) == 1


@pytest.mark.parametrize(
    "work",
    [
        lambda: torch.where(MASK, X, 0.0),
        lambda: X[torch.tensor([0, 2])],
        lambda: X.clone().index_put_((MASK,), torch.tensor(0.0)),
        lambda: X[1:] * MASK[1:],
    ],
)
def test_what_does_not_wait_is_not_found(work: Callable[[], object]) -> None:
    with Waits() as waits:
        work()
    assert waits.found == []


@pytest.mark.parametrize("lambda_esd", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("words", [ViewPrompts.nearest, ViewPrompts.perp_neg])
def test_a_step_waits_only_where_it_is_to_look(
    lambda_esd: float, words: ViewPrompts, tmp_path: Path
) -> None:
    tiny_pipeline("latent_v").save(tmp_path / "model")
    config = tiny(
        prior=DiffusersPriorConfig(path=str(tmp_path / "model"), view_prompts=words),
        variational=LoraVariationalConfig(),
        timesteps=TwoStageTimestepsConfig(),
        weighting=Weighting.one_minus_alpha_bar,
        lambda_esd=lambda_esd,
        steps=90,  # once in a run, it is looked at whether λ can act: not within six of these
    )
    trainer = Trainer.from_config(config, tmp_path)
    trainer.sync_every = 3
    waits = [waits_of_a_step(trainer) for _ in range(6)]
    assert [bool(each) for each in waits] == [False, False, True] * 2


def waits_of_a_step(trainer: Trainer) -> list[str]:
    with Waits() as waits:
        trainer.train_step()
    return waits.found


def test_growing_waits_only_where_gaussians_are_added(tmp_path: Path) -> None:
    trainer = Trainer.from_config(tiny(densify=DENSIFY["default"]), tmp_path)
    densifier, grows = trainer.components.densifier, []
    usual = densifier.step_post_backward

    def watched(step: int, info: dict[str, object]) -> None:
        before = len(trainer.components.splats["means"])
        # Its seed is drawn on the CPU, at every step.
        with Waits() as waits:
            usual(step, info)
        assert (len(waits.found) > 1) == densifier.refines(step)
        grows.append(len(trainer.components.splats["means"]) != before)

    densifier.step_post_backward = watched  # type: ignore[method-assign]
    while trainer.step < trainer.config.steps:
        trainer.train_step()
    assert any(grows)
