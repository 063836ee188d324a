"""How a LoRA is made and trained, and the noise levels that it is trained at."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from gs_esd.diffusion.schedule import NoiseSchedule
from gs_esd.system.device import to_device

LEVEL_SPREAD = 1.0
"""How far from a level of evaluation ψ is trained, in log SNR, to either side."""

DrawTrainingLevels = Callable[[Float[Tensor, " R"], torch.Generator], Float[Tensor, " R"]]
"""Draws noise levels (log_snr) to train at, from those at which ψ will be evaluated."""


def levels_nearby(log_snr: Float[Tensor, " R"], generator: torch.Generator) -> Float[Tensor, " R"]:
    """Within LEVEL_SPREAD of the levels of evaluation, uniformly."""
    offset = LEVEL_SPREAD * (2 * torch.rand(len(log_snr), generator=generator) - 1)
    return log_snr + to_device(offset, log_snr.device)


def uniform_timesteps(schedule: NoiseSchedule) -> DrawTrainingLevels:
    """Draw t uniformly from {0 .. T - 1}, as in the training of φ."""
    return lambda log_snr, generator: schedule.log_snr.cpu()[
        torch.randint(len(schedule), (len(log_snr),), generator=generator)
    ]


@dataclass(frozen=True)
class LoraOptions:
    """How a LoRA is made and trained.

    Attributes:
        rank: of the low-rank matrices.
        learning_rate: of AdamW, for these.
        modulation_learning_rate: the same for the modulation by the view.
        steps_per_update: optimiser steps per batch of renderings that it is trained on.
        train_every: it is trained on one batch in so many; of the others `replay` are kept.
        predict_every: ε_ψ(∅) is predicted for one rendering in so many, at random; see LoraScore.
        train_batch: renderings of an optimiser step; as many as a batch has if 0.
        replay: earlier renderings that are trained on as well.
        draw_levels: noise levels in training.
        v_loss: minimise the squared error of v, instead of what the network predicts. An error of
            ε counts 1/SNR times less in much noise than the same error of x_0.
        rows_per_call: images per call of the U-Net without gradients, all if 0; fewer take less
            memory.
        train_rows: the same with gradients; these are accumulated.
        gradient_checkpointing: recompute activations in the backward pass to save memory.
    """

    rank: int = 4
    learning_rate: float = 1e-4
    modulation_learning_rate: float = 1e-2
    steps_per_update: int = 1
    train_every: int = 1
    predict_every: int = 1
    train_batch: int = 0
    replay: int = 0
    draw_levels: DrawTrainingLevels = levels_nearby
    v_loss: bool = True
    rows_per_call: int = 0
    train_rows: int = 0
    gradient_checkpointing: bool = False
