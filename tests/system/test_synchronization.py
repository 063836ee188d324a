"""Training steps synchronise with a GPU only where they should; and the detector of it works."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gs_esd.config.learned import DiffusersPriorConfig, LoraVariationalConfig, ViewPrompts
from gs_esd.config.options import Weighting
from gs_esd.config.schedule import TwoStageTimestepsConfig
from gs_esd.trainer import Trainer
from tests.helpers.synchronization import SyncDetector
from tests.helpers.tiny_models import tiny_pipeline
from tests.helpers.tiny_runs import DENSIFY, tiny

MASK = torch.tensor([True, False, True])
X = torch.arange(3.0)


@pytest.mark.parametrize(
    "operation",
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
def test_synchronising_operations_are_detected(operation: Callable[[], object]) -> None:
    with SyncDetector() as detector:
        operation()
    assert len(detector.found) == 1


@pytest.mark.parametrize(
    "operation",
    [
        lambda: torch.where(MASK, X, 0.0),
        lambda: X[torch.tensor([0, 2])],
        lambda: X.clone().index_put_((MASK,), torch.tensor(0.0)),
        lambda: X[1:] * MASK[1:],
    ],
)
def test_asynchronous_operations_are_not_detected(operation: Callable[[], object]) -> None:
    with SyncDetector() as detector:
        operation()
    assert detector.found == []


@pytest.mark.parametrize("lambda_esd", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("words", [ViewPrompts.nearest, ViewPrompts.perp_neg])
def test_step_synchronises_every_sync_every_steps(
    lambda_esd: float, words: ViewPrompts, tmp_path: Path
) -> None:
    tiny_pipeline("latent_v").save(tmp_path / "model")
    config = tiny(
        prior=DiffusersPriorConfig(path=str(tmp_path / "model"), view_prompts=words),
        variational=LoraVariationalConfig(),
        timesteps=TwoStageTimestepsConfig(),
        weighting=Weighting.one_minus_alpha_bar,
        lambda_esd=lambda_esd,
        steps=90,  # the view KL is read once in a run: not within six of these steps
    )
    trainer = Trainer.from_config(config, tmp_path)
    trainer.sync_every = 3
    found = [synchronisations_of_a_step(trainer) for _ in range(6)]
    assert [bool(each) for each in found] == [False, False, True] * 2


def synchronisations_of_a_step(trainer: Trainer) -> list[str]:
    with SyncDetector() as detector:
        trainer.train_step()
    return detector.found


def test_densifier_synchronises_only_where_it_refines(tmp_path: Path) -> None:
    trainer = Trainer.from_config(tiny(densify=DENSIFY["default"]), tmp_path)
    densifier, grows = trainer.components.densifier, []
    original = densifier.step_post_backward

    def recording(step: int, info: dict[str, object]) -> None:
        before = len(trainer.components.splats["means"])
        # One synchronisation is its seed, which is drawn on the CPU at every step.
        with SyncDetector() as detector:
            original(step, info)
        assert (len(detector.found) > 1) == densifier.refines(step)
        grows.append(len(trainer.components.splats["means"]) != before)

    densifier.step_post_backward = recording  # type: ignore[method-assign]
    while trainer.step < trainer.config.steps:
        trainer.train_step()
    assert any(grows)
