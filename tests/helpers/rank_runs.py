"""Short runs on all ranks that torchrun starts; each rank saves its final state.

    torchrun --standalone --nproc-per-node=2 tests/helpers/rank_runs.py MODEL FOLDER

MODEL: a folder with a latent model. Writes FOLDER/rank0.pt and so on.
"""

import sys
from pathlib import Path
from typing import Any

import torch

from gs_esd.build.components import build_components
from gs_esd.config.learned import DiffusersPriorConfig, LoraCameraVariationalConfig
from gs_esd.config.options import ClosedFormVariationalConfig, Config, Weighting
from gs_esd.config.regularizers import RegularizersConfig
from gs_esd.config.schedule import TwoStageTimestepsConfig
from gs_esd.system import torchrun
from gs_esd.trainer import Trainer
from tests.helpers.tiny_runs import DENSIFY, tiny

STEPS = {"bank": 7, "bank-mcmc": 7, "bank-regularized": 7, "latent": 3, "lora": 3}
REGULARIZED = RegularizersConfig(
    opacity=1, scale=1, scale_ratio=1, max_scale_ratio=1, position=1, sparsity=1, opaque=1,
    tv_color=10, tv_depth=10,
)  # fmt: skip


def configuration(case: str, model: Path) -> Config:
    """The configuration of a case; its first densifications are after steps 4 and 6."""
    if case.startswith("bank"):
        densify = "mcmc" if case.endswith("mcmc") else "default"
        if case.endswith("regularized"):
            return tiny(densify=DENSIFY[densify], regularizers=REGULARIZED, clamp_renderings=True)
        return tiny(densify=DENSIFY[densify], lambda_esd=0.5)
    lora = LoraCameraVariationalConfig(
        learning_rate=1e-2, steps_per_update=2, camera_dropout=0.5, replay=4
    )
    return tiny(
        prior=DiffusersPriorConfig(path=str(model)),
        variational=lora if case == "lora" else ClosedFormVariationalConfig(),
        timesteps=TwoStageTimestepsConfig(),
        weighting=Weighting.one_minus_alpha_bar,
        lambda_esd=0.5,
    )


def final_state(case: str, model: Path, folder: Path) -> dict[str, Any]:
    """Splats, q and the last scalars after some steps of plain gradient descent.

    Adam would amplify a rounding error of a small gradient to a full step.
    """
    components = build_components(configuration(case, model))
    descent = {name: torch.optim.SGD([each], 1.0) for name, each in components.splats.items()}
    components.optimizers.update(descent)  # in place: the densifier uses the same dictionary
    trainer = Trainer(configuration(case, model), folder, components)
    for _ in range(STEPS[case]):
        scalars = trainer.train_step()
    splats = {name: each.detach() for name, each in components.splats.items()}
    return {
        "splats": splats,
        "variational": components.variational.state_dict(),
        "scalars": scalars,
    }


def main() -> None:
    """Run every case and save the final states."""
    model, folder = Path(sys.argv[1]), Path(sys.argv[2])
    torch.set_num_threads(1)
    states = {case: final_state(case, model, folder / case) for case in STEPS}
    torch.save(states, folder / f"rank{torchrun.process_rank()}.pt")


if __name__ == "__main__":
    main()
