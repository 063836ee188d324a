"""The bundled model: its files, and zero-shot classification with it."""

import math
from functools import cache
from pathlib import Path

import pytest
import torch
from jaxtyping import Float
from torch import Tensor

from gs_esd.build.validate import validate
from gs_esd.cameras.view_names import VIEW_NAMES, view_index
from gs_esd.config.learned import DiffusersPriorConfig, LoraVariationalConfig
from gs_esd.config.options import (
    ClosedFormVariationalConfig,
    MemoryConfig,
    VariationalConfig,
    Weighting,
)
from gs_esd.config.schedule import TwoStageTimestepsConfig
from gs_esd.diffusion.process import add_noise
from gs_esd.diffusion.schedule import MIN_LOG_SNR
from gs_esd.priors.hub.download import find_model
from gs_esd.priors.hub.files import ModelFiles
from gs_esd.priors.load import load_codec, load_denoiser, load_text
from gs_esd.priors.unet import Denoiser, UnetDenoiser
from gs_esd.system.rng import stream
from gs_esd.tools.tiny_prior.model import RESOLUTION
from gs_esd.toyzoo.animals.catalogue import ANIMALS
from gs_esd.toyzoo.bank import draw_bank
from gs_esd.toyzoo.captions import subjects
from gs_esd.toyzoo.prompt import ZooSubject
from gs_esd.toyzoo.training_images import on_background
from gs_esd.trainer import Trainer
from tests.helpers.tiny_runs import tiny

CPU = torch.device("cpu")
LOG_SNR = -3.0
"""Noisy enough that the text matters."""


@cache
def files() -> ModelFiles:
    return find_model("bundled")


@cache
def held_out_images(subject: ZooSubject, n: int) -> tuple[Tensor, Tensor]:
    """Images of new cameras, and their views."""
    rgba, cameras = draw_bank(
        subject,
        n,
        RESOLUTION,
        front_bias=0,
        elevation=(0.0, math.radians(30)),
        distance=3.0,
        fov=math.radians(40),
        generator=stream(7, subject.animal),
    )
    bytes_ = (255 * rgba).round().to(torch.uint8)
    return on_background(bytes_, torch.ones(3)), view_index(cameras.azimuth)


def errors(images: Float[Tensor, "B 3 H W"], captions: list[str]) -> Float[Tensor, "B K"]:
    """Mean squared error of ε_φ for each image with every caption."""
    codec, denoiser = load_codec(files(), CPU, torch.float32, MemoryConfig()), stored_denoiser()
    x_0 = codec.encode((images.permute(0, 2, 3, 1) + 1) / 2)
    eps = torch.randn(x_0.shape, generator=stream(7, "noise"))
    levels = torch.full((len(x_0),), LOG_SNR)
    x_t = add_noise(x_0, eps, levels)
    rows = load_text(files(), captions, CPU, torch.float32)
    of_captions = [
        (denoiser(x_t, levels, rows[i : i + 1].expand(len(x_t))) - eps).square().flatten(1).mean(1)
        for i in range(len(captions))
    ]
    return torch.stack(of_captions, dim=1)


@cache
def stored_denoiser() -> Denoiser:
    return load_denoiser(files(), CPU, torch.float32)


def test_file_size_and_formats() -> None:
    stored = [path for path in files().folder.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in stored) < 30e6
    assert {path.suffix for path in stored} == {".json", ".md", ".safetensors"}


def test_zero_terminal_snr() -> None:
    denoiser = stored_denoiser()
    assert denoiser.schedule.log_snr[-1] == MIN_LOG_SNR
    assert isinstance(denoiser, UnetDenoiser)
    assert denoiser.prediction_type == "v_prediction"


@torch.no_grad()
def test_zero_shot_classification_of_animals() -> None:
    animals = sorted(ANIMALS)
    images = torch.cat([held_out_images(ZooSubject(animal), 3)[0] for animal in animals])
    best = errors(images, [f"a {animal}" for animal in animals]).argmin(1).view(-1, 3)
    right = best == torch.arange(len(animals))[:, None]
    assert right.float().mean() > 0.95


@torch.no_grad()
def test_zero_shot_classification_of_colors() -> None:
    cats = [s for s in subjects() if s.animal == "cat" and s.color is not None]
    images = torch.cat([held_out_images(subject, 2)[0] for subject in cats])
    best = errors(images, [f"a {s.color_name} cat" for s in cats]).argmin(1).view(-1, 2)
    right = best == torch.arange(len(cats))[:, None]
    assert right.float().mean() > 0.8


@pytest.mark.parametrize("animal", ["corgi", "panda", "penguin"])
@torch.no_grad()
def test_zero_shot_classification_of_views(animal: str) -> None:
    images, views = held_out_images(ZooSubject(animal), 40)
    best = errors(images, [f"a {animal}, {view} view" for view in VIEW_NAMES]).argmin(1)
    shares = [(best == views)[views == view].float().mean() for view in range(len(VIEW_NAMES))]
    assert min(shares) > 0.6
    assert sum(shares) / len(shares) > 0.8


@pytest.mark.parametrize("variational", [LoraVariationalConfig(), ClosedFormVariationalConfig()])
def test_training_steps(variational: VariationalConfig, tmp_path: Path) -> None:
    config = tiny(
        prompt="a corgi",
        prior=DiffusersPriorConfig(path="bundled"),
        variational=variational,
        timesteps=TwoStageTimestepsConfig(),
        weighting=Weighting.one_minus_alpha_bar,
        lambda_esd=0.5,
    )
    validate(config)
    trainer = Trainer.from_config(config, tmp_path)
    before = {name: value.detach().clone() for name, value in trainer.components.splats.items()}
    scalars = [trainer.train_step() for _ in range(2)]
    assert all(math.isfinite(step["grad_norm"]) for step in scalars)
    assert not torch.equal(trainer.components.splats["means"], before["means"])
