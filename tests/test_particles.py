"""Runs of several particles: one step for all of them, their files, and resuming."""

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from gs_esd.build import components as components_module
from gs_esd.build.components import build_components
from gs_esd.config.options import Config, SdsConfig, Weighting
from gs_esd.config.regularizers import RegularizersConfig
from gs_esd.errors import UserError
from gs_esd.export.ply import load_metadata, load_splats
from gs_esd.guidance.objectives import Predictions
from gs_esd.render.renderings import Renderings, concatenate
from gs_esd.run.checkpoint import load_checkpoint, save_checkpoint
from gs_esd.run.particle_dirs import particle_dir, particle_dirs
from gs_esd.trainer import Trainer
from gs_esd.variational.base import NeededPredictions
from tests.helpers.tiny_runs import DENSIFY, STEPS, tiny
from viewer.scene.watch import Watch

FILES = ("preview.png", "splats.ply", "turntable.mp4")


def two(**changes: object) -> Config:
    return tiny(particles=2, densify=DENSIFY["default"], **changes)


def parameters(trainer: Trainer, index: int) -> dict[str, Tensor]:
    splats = trainer.components.particles[index].splats
    return {name: each.detach().clone() for name, each in splats.items()}


def test_particles_start_apart_and_the_first_as_if_it_were_alone() -> None:
    alone = build_components(tiny()).particles
    first, second = build_components(two()).particles
    assert len(alone) == 1
    for name, parameter in alone[0].splats.items():
        assert torch.equal(parameter, first.splats[name])
    assert not torch.equal(first.splats["means"], second.splats["means"])


def test_every_particle_is_trained_and_densified(tmp_path: Path) -> None:
    trainer = Trainer.from_config(two(), tmp_path)
    before = [parameters(trainer, i) for i in range(2)]
    trainer.train()
    for i in range(2):
        after = parameters(trainer, i)
        assert len(after["means"]) > len(before[i]["means"])


def test_the_gradient_of_a_particle_is_a_mean_over_its_own_views(tmp_path: Path) -> None:
    """If p is one more than the noise everywhere, it does not matter who else is rendered."""

    def colors_after_a_step(n: int) -> Tensor:
        config = tiny(particles=n, guidance=SdsConfig(), lambda_esd=0.0, weighting=Weighting.one)
        components = build_components(config)

        def predict(*args: Any) -> Predictions:
            eps = args[2].eps
            return Predictions(eps + 1, torch.zeros_like(eps), torch.zeros_like(eps))

        optimizers = components.particles[0].optimizers
        plain = {
            k: torch.optim.SGD(v.param_groups[0]["params"], 1.0) for k, v in optimizers.items()
        }
        optimizers.update(plain)
        trainer = Trainer(config, tmp_path / str(n), replace(components, predict=predict))
        trainer.train_step()
        return parameters(trainer, 0)["sh0"]

    torch.testing.assert_close(colors_after_a_step(3), colors_after_a_step(1))


def test_a_camera_has_a_rendering_of_every_particle(tmp_path: Path) -> None:
    """ε_ψ(c) in closed form: the mean over particles, weighted by how well they explain x_t."""
    trainer = Trainer.from_config(two(), tmp_path)
    trainer.train_step()
    c = trainer.components
    views = trainer.draw_views()
    images = torch.cat(
        [trainer._render(each, views.cameras).over(views.background) for each in c.particles]
    ).detach()
    x_0 = c.prior.encode(images)
    all_views = views.repeated(2)
    batch = concatenate([trainer._render(each, views.cameras) for each in c.particles])
    log_snr = torch.full((len(x_0),), -3.0)
    c.variational.update(batch, x_0, all_views, log_snr)
    alpha, sigma = torch.tensor(-3.0).sigmoid().sqrt(), torch.tensor(3.0).sigmoid().sqrt()
    x_t = alpha * x_0 + sigma * torch.randn(x_0.shape, generator=torch.Generator().manual_seed(0))
    eps = c.variational.predict_noise(x_t, log_snr, all_views, NeededPredictions(False, True)).cond
    n = len(views)
    for row in range(len(x_0)):
        own = torch.stack([x_0[row % n], x_0[row % n + n]]).double()
        distance = (x_t[row].double() - alpha * own).flatten(1).square().sum(1)
        weight = (-distance / (2 * sigma**2)).softmax(0)
        mean = (weight[:, None, None, None] * own).sum(0)
        torch.testing.assert_close(
            eps[row].double(), (x_t[row] - alpha * mean) / sigma, atol=1e-3, rtol=1e-3
        )


def test_resuming_particles_is_exact(tmp_path: Path) -> None:
    straight = Trainer.from_config(two(), tmp_path / "straight")
    straight.train()
    stopped = Trainer.from_config(two(), tmp_path / "resumed")
    for _ in range(STEPS // 2):
        stopped.train_step()
    stopped.save()
    resumed = Trainer.from_config(two(), tmp_path / "resumed")
    assert resumed.step == STEPS // 2
    resumed.train()
    for i in range(2):
        ours, theirs = parameters(resumed, i), parameters(straight, i)
        assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_checkpoints_from_before_particles_are_resumed(tmp_path: Path) -> None:
    trainer = Trainer.from_config(tiny(), tmp_path)
    trainer.train_step()
    trainer.save()
    state = load_checkpoint(trainer.checkpoint)
    (only,) = state.pop("particles")
    save_checkpoint(trainer.checkpoint, state | only)
    resumed = Trainer.from_config(tiny(), tmp_path)
    assert torch.equal(parameters(resumed, 0)["means"], parameters(trainer, 0)["means"])


def test_every_particle_has_its_files_and_a_place_in_the_viewer(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    trainer = Trainer.from_config(two(snapshot_every_s=0.0), run_dir)
    trainer.train()
    folders = particle_dirs(run_dir)
    assert folders == [run_dir, run_dir / "particle2"]
    for i, folder in enumerate(folders):
        assert folder == particle_dir(run_dir, i)
        assert all((folder / name).stat().st_size for name in FILES)
        assert not (folder / "live.ply").exists()
        assert load_metadata(folder / "splats.ply")["particle"] == i + 1
        means = parameters(trainer, i)["means"]
        torch.testing.assert_close(load_splats(folder / "splats.ply")["means"], means)
    for shown in (run_dir, tmp_path):
        cells = Watch([shown]).scene.cells
        assert [cell.label for cell in cells] == ["particle 1", "particle 2"]


def test_several_particles_have_more_to_tell_apart(tmp_path: Path) -> None:
    trainer = Trainer.from_config(two(), tmp_path)
    scalars = trainer.train_step()
    assert math.isfinite(scalars["view_kl"])
    assert scalars["gaussians"] == 120


def test_the_losses_of_regularizers_are_means_over_particles(tmp_path: Path) -> None:
    config = two(regularizers=RegularizersConfig(opacity=1.0))
    trainer = Trainer.from_config(config, tmp_path)
    first, second = trainer.components.particles
    first.splats["opacities"].data.fill_(3.0)
    second.splats["opacities"].data.fill_(-3.0)
    alone = []
    for particle in (first, second):
        parts = replace(trainer.components, particles=(particle,))
        one = Trainer(replace(config, particles=1), tmp_path / str(len(alone)), parts)
        alone.append(one._regularize(*rendered(one))["loss_opacity"])
    together = trainer._regularize(*rendered(trainer))["loss_opacity"]
    assert abs(float(alone[0] - alone[1])) > 0.1
    torch.testing.assert_close(together, (alone[0] + alone[1]) / 2)


def rendered(trainer: Trainer) -> tuple[list[Renderings], Tensor]:
    views = trainer.draw_views()
    each = [trainer._render(one, views.cameras) for one in trainer.components.particles]
    return each, concatenate(each).over(views.background)


def test_several_processes_train_one_particle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(components_module, "join", lambda device: SimpleNamespace(count=2))
    with pytest.raises(UserError, match=r"particles=2 is for one process.*particles=1"):
        build_components(two())
