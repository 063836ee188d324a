"""Training loop: render, evaluate both scores on noised renderings, step along their difference.

    splats θ -> renderings x_0 -> noise -> ω(t) (ε_φ - source) -> gradient on x_0 -> gradient on θ

The equation is in gs_esd/guidance/objectives.py. The components of a run (prior, variational model,
objective, splats, optimisers) are built from its configuration in gs_esd/build/components.py.
"""

import logging
import signal
import time
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import ParameterDict

from gs_esd.build.components import Components, build_components
from gs_esd.cameras.orbit import Cameras, sample_orbit
from gs_esd.cameras.views import Views
from gs_esd.config.options import Config
from gs_esd.config.schedule import StageConfig
from gs_esd.export.images import preview, save_png
from gs_esd.guidance.noisy_views import NoisyViews, noise_views
from gs_esd.guidance.objectives import score_difference
from gs_esd.guidance.regularizers import add_gradients
from gs_esd.guidance.view_kl import ViewKlMonitor, view_kl
from gs_esd.render.clamp import clamp_renderings
from gs_esd.render.distributed import gather_info, gather_renderings
from gs_esd.render.renderings import Renderings, concatenate, render
from gs_esd.render.silhouettes import frame_by_silhouette
from gs_esd.run.checkpoint import (
    generator_states,
    load_checkpoint,
    particle_state,
    restore_generators,
    restore_particle,
    save_checkpoint,
)
from gs_esd.run.console import ProgressBar
from gs_esd.run.finite_check import FiniteCheck
from gs_esd.run.interrupt import Interrupted, stop_request
from gs_esd.run.metrics_log import MetricsLog
from gs_esd.run.results import write_results
from gs_esd.run.snapshots import Snapshots
from gs_esd.run.trackers import Tracking
from gs_esd.splats.particle import Particle
from gs_esd.system.device import Scalars, to_device, to_floats
from gs_esd.system.memory import reset_peak_memory

log = logging.getLogger(__name__)

LOG_EVERY = 10
"""Steps between lines of metrics.jsonl and points in trackers."""
FIRST_PREVIEW_S = 2.0
"""Seconds until the first preview image; later ones follow at the configured interval."""


def is_finished(run_dir: Path) -> bool:
    """Whether a run has come to its end in this directory: metrics.json is written last."""
    return (run_dir / "metrics.json").exists()


class Trainer:
    """One run in one run directory: starts or resumes it, trains, and writes the results.

    Example:
        >>> config = Config(prompt="a corgi")
        >>> Trainer.from_config(config, Path("outputs/corgi")).train()
    """

    def __init__(
        self,
        config: Config,
        run_dir: Path,
        components: Components,
        shown_in: Path | None = None,
    ) -> None:
        """Take the components of a run; tests bring their own. A checkpoint in run_dir is resumed.

        Args:
            config: of the run.
            run_dir: of its checkpoint, metrics and results.
            components: what it is made of.
            shown_in: folder of preview.png and the viewer's snapshots while the run goes on;
                run_dir if None.

        Raises:
            UserError: the checkpoint is damaged.
        """
        self.config = config
        self.run_dir = run_dir
        self.shown_in = shown_in or run_dir
        self.components = components
        self.step = 0
        self.seconds = 0.0
        self.view_kls = ViewKlMonitor()
        self.checkpoint = run_dir / "checkpoints" / "last.pt"
        self.finite_check = FiniteCheck(self.checkpoint)
        # Reading a number from a GPU waits for all work queued on it.
        self.sync_every = 1 if components.device.type == "cpu" else LOG_EVERY
        self._last_scalars: dict[str, float] = {}
        self._is_writer = components.ranks.is_first
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        if self.checkpoint.exists():
            self.load()
        self._metrics = MetricsLog(run_dir / "metrics.jsonl")
        if self._is_writer:
            self._metrics.drop_after(self.step)

    @classmethod
    def from_config(cls, config: Config, run_dir: Path) -> "Trainer":
        """The trainer of a configuration.

        Raises:
            UserError: the prior, the splats or the run directory cannot be made or used.
        """
        return cls(config, run_dir, build_components(config))

    def train(self) -> None:
        """Make all steps that are left and write the results.

        Raises:
            Interrupted, NonFiniteError, UserError: see `optimize`.
        """
        self.optimize()
        if self._is_writer:
            orbit = self.components.orbit
            write_results(self.run_dir, self.config, self._all_splats(), orbit, self.seconds)
            Snapshots(self.config, self.shown_in).remove()

    def optimize(self) -> None:
        """Make all steps that are left, with a checkpoint at the end.

        Raises:
            Interrupted: on SIGINT or SIGTERM, after a checkpoint.
            NonFiniteError, UserError: the run cannot go on.
        """
        reset_peak_memory(self.components.device)
        saved_at = time.monotonic()
        preview_at = saved_at + FIRST_PREVIEW_S
        snapshots = Snapshots(self.config, self.shown_in)
        with (
            stop_request() as stop,
            ProgressBar(self.config.steps, done=self.step) as bar,
            Tracking(self.config, self.run_dir, self.step) as tracking,
        ):
            while self.step < self.config.steps:
                if self._is_writer:
                    snapshots.update(self._all_splats(), self.step)
                started = time.monotonic()
                scalars = self.train_step()
                now = time.monotonic()
                self.seconds += now - started
                bar.update(self.step, scalars, self._num_gaussians())
                if self._should_log():
                    tracking.scalars(scalars, self.step)
                # Read once: a signal after the save waits for the next step.
                stopping = self._should_stop(bool(stop))
                if stopping or now - saved_at > self.config.checkpoint_every_s:
                    self.save()
                    saved_at = now
                if stopping:
                    raise Interrupted(stop.signal or signal.SIGTERM)
                if self._is_writer and now > preview_at:
                    tracking.image(self.save_preview(), self.step)
                    preview_at = now + self.config.preview_every_s
        self.save()

    def train_step(self) -> dict[str, float]:
        """One optimisation step; returns the scalars to log, as of the last synchronisation.

        Raises:
            NonFiniteError: numbers became NaN or infinite; the message names the step.
            UserError: the splats have become transparent from every side.
        """
        c = self.components
        views = self.draw_views()
        mine = c.ranks.share(len(views))  # of several processes, this one's views; else all

        of_particles = [self._render(particle, views.cameras[mine]) for particle in c.particles]
        renderings = concatenate(of_particles)
        images = renderings.over(views.background)
        x_0 = c.prior.encode(images)
        all_x_0, all_renderings = c.ranks.gather(x_0), gather_renderings(c.ranks, renderings)

        all_views = views.repeated(len(c.particles))
        noisy = self.draw_noise(all_x_0, all_views)
        scalars = c.variational.update(all_renderings, all_x_0, all_views, noisy.log_snr)
        scalars |= self._monitor_view_kl(all_x_0, noisy)
        noisy = noisy[c.ranks.share(len(noisy))]  # drawn for all: the same on every process
        eps = c.predict(c.prior, c.variational, noisy, c.source.needed(noisy))
        gradient = score_difference(eps, noisy, c.source, c.weighting)
        scalars |= self._regularize(of_particles, images)
        # Distillation has no loss: the gradient on x_0 is given, and this is the chain rule to θ.
        # The mean over all views, whichever process renders them.
        x_0.backward(gradient / len(views))

        scalars |= self._describe(gradient, noisy, renderings)
        self._update_particles(scalars, of_particles, all_renderings.alpha)
        return self._end_step()

    def _render(self, particle: Particle, cameras: Cameras) -> Renderings:
        with_depth = self.config.regularizers.tv_depth > 0
        if height := self.config.cameras.silhouette_height:
            cameras = frame_by_silhouette(particle.splats, cameras, height)
        renderings = render(particle.splats, cameras, with_depth=with_depth)
        particle.densifier.step_pre_backward(self.step, renderings.info)
        return clamp_renderings(renderings) if self.config.clamp_renderings else renderings

    def _regularize(
        self, of_particles: list[Renderings], images: Float[Tensor, "B H W 3"]
    ) -> Scalars:
        """Add the gradients of the regularisers; returns the means of the losses over particles."""
        c = self.components
        parts = images.tensor_split(len(of_particles))
        weights, share = self.config.regularizers, 1 / c.ranks.count
        losses = [
            add_gradients(weights, particle.splats, renderings, part, share)
            for particle, renderings, part in zip(c.particles, of_particles, parts, strict=True)
        ]
        return {name: sum(each[name] for each in losses) / len(losses) for name in losses[0]}

    def draw_views(self) -> Views:
        """The cameras and the background of the next step."""
        c, stage = self.components, self.stage()
        cameras = sample_orbit(stage.views, c.orbit, stage.resolution, c.generators["cameras"])
        background = c.draw_background(c.generators["background"])
        return Views(cameras.to(c.device), to_device(background, c.device))

    def draw_noise(self, x_0: Float[Tensor, "B C h w"], views: Views) -> NoisyViews:
        """Noised renderings x_t, each at a noise level of its own."""
        c = self.components
        log_snr = c.levels(views, self.progress, c.generators["levels"])
        eps = torch.randn(x_0.shape, generator=c.generators["noise"])
        log_snr, eps = to_device(log_snr, c.device), to_device(eps, c.device)
        return noise_views(x_0, views, log_snr, eps, self.progress)

    @property
    def progress(self) -> float:
        """The fraction of the run that is done, in [0, 1)."""
        return self.step / self.config.steps

    def stage(self) -> StageConfig:
        """The stage that the current step belongs to."""
        return self.config.stages.at(self.progress)

    def _update_particles(
        self, scalars: Scalars, of_particles: list[Renderings], alpha: Float[Tensor, "B H W 1"]
    ) -> None:
        """Step the optimisers and densify, with a check before and after of what is not finite."""
        c = self.components
        self.finite_check.note_alpha(alpha, self.step)
        for particle in c.particles:
            c.ranks.sum_gradients(particle.splats.values())
            self.finite_check.note_gradients(scalars.values(), particle.splats, self.step)
        if self._should_sync():
            self.finite_check.check()
            self._last_scalars = c.ranks.mean(to_floats(scalars))
        for particle, renderings in zip(c.particles, of_particles, strict=True):
            self._update_splats(particle, renderings)
        if self._should_sync():
            self.finite_check.check()

    def _update_splats(self, particle: Particle, renderings: Renderings) -> None:
        """Step the optimisers at this step's learning rates, then densify."""
        c, rates = self.components, self.config.learning_rates
        for name, optimizer in particle.optimizers.items():
            optimizer.param_groups[0]["lr"] = rates.at(name, self.progress)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        particle.densifier.step_post_backward(self.step, gather_info(c.ranks, renderings.info))
        self.finite_check.note_parameters(particle.splats, self.step)

    def _end_step(self) -> dict[str, float]:
        """Count the step and, every LOG_EVERY steps, log its scalars."""
        self.step += 1
        if self._is_writer and self._should_log():
            self._metrics.append(self.step, self._last_scalars)
        return self._last_scalars

    def _should_sync(self) -> bool:
        due = (self.step + 1) % self.sync_every == 0 or self.step + 1 == self.config.steps
        return due or self.components.densifier.refines(self.step)

    def _should_log(self) -> bool:
        return self.step % LOG_EVERY == 0 or self.step == self.config.steps

    def _should_stop(self, requested: bool) -> bool:
        """Whether to stop here; processes agree on it every LOG_EVERY steps: it makes them wait."""
        ranks = self.components.ranks
        return (ranks.count == 1 or self._should_log()) and ranks.any(requested)

    def _describe(self, gradient: Tensor, noisy: NoisyViews, renderings: Renderings) -> Scalars:
        return {
            "grad_norm": gradient.flatten(1).norm(dim=1).mean(),
            "log_snr": noisy.log_snr.mean(),
            "alpha": renderings.alpha.detach().mean(),
            "gaussians": float(self._num_gaussians()),
            **self.components.source.scalars(noisy),
        }

    def _num_gaussians(self) -> int:
        return sum(len(particle.splats["means"]) for particle in self.components.particles)

    def _monitor_view_kl(self, x_0: Float[Tensor, "B C h w"], noisy: NoisyViews) -> Scalars:
        if len(x_0) < 2:  # it is about pairs of renderings
            return {}
        view_kls = view_kl(x_0, noisy.log_snr)
        if self.components.source.needed(noisy).uncond:
            if warning := self.view_kls.add(view_kls, noisy.progress):
                log.warning(warning)
        return {"view_kl": view_kls.log().mean().exp()}

    def save(self) -> None:
        """Write the checkpoint from which the run resumes, on a CPU bit for bit.

        Raises:
            NonFiniteError: the splats are not finite, and the old checkpoint is kept.
        """
        self.finite_check.check()
        if not self._is_writer:
            return
        c = self.components
        state: dict[str, Any] = {
            "step": self.step,
            "seconds": self.seconds,
            "particles": [particle_state(particle) for particle in c.particles],
            "generators": generator_states(c.generators),
            "variational": c.variational.state_dict(),
            "view_kls": self.view_kls.state_dict(),
        }
        save_checkpoint(self.checkpoint, state)

    def load(self) -> None:
        """Resume from the checkpoint of the run directory.

        Raises:
            UserError: it is damaged.
        """
        state, c = load_checkpoint(self.checkpoint), self.components
        self.step, self.seconds = state["step"], state["seconds"]
        for particle, saved in zip(c.particles, state["particles"], strict=True):
            restore_particle(particle, saved)
        restore_generators(c.generators, state["generators"])
        c.variational.load_state_dict(
            {name: value.to(c.device) for name, value in state["variational"].items()}
        )
        self.view_kls.load_state_dict(state["view_kls"])
        log.info("going on from step %d", self.step)

    def _all_splats(self) -> list[ParameterDict]:
        return [particle.splats for particle in self.components.particles]

    def save_preview(self) -> Float[Tensor, "H W 3"]:
        """Write preview.png of the splats as they are, and return the image."""
        image = preview(self.components.splats, self.components.orbit, self.stage().resolution)
        save_png(self.shown_in / "preview.png", image)
        return image
