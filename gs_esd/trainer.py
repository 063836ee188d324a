"""The loop: render, ask the two distributions, follow their difference.

    renderings x_0 -> noise -> ω(t) (ε_φ - source) -> gradient on x_0 -> gradient on the cloud

The objective's line is in gs_esd/guidance/objectives.py, what a run is made of in
gs_esd/build/components.py.
"""

import json
import logging
import signal
import time
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gs_esd.build.components import Parts, make_parts
from gs_esd.cameras.orbit import sample_orbit
from gs_esd.cameras.views import Views
from gs_esd.config.options import Config, StageConfig
from gs_esd.config.stages import stage_at
from gs_esd.export.images import preview, save_png
from gs_esd.guidance.esd import EsdSource
from gs_esd.guidance.objectives import NoisyViews, noised, score_difference
from gs_esd.guidance.view_kl import KappaCount, kappa
from gs_esd.render.distributed import gather_info, gather_renderings
from gs_esd.render.renderings import Renderings, render
from gs_esd.run.checkpoint import (
    cloud_state,
    generator_states,
    load_checkpoint,
    restore_cloud,
    restore_generators,
    save_checkpoint,
)
from gs_esd.run.console import Progress
from gs_esd.run.finite_check import Health
from gs_esd.run.interrupt import Interrupted, stop_request
from gs_esd.run.results import write_results
from gs_esd.run.snapshots import Snapshots
from gs_esd.run.trackers import Tracking
from gs_esd.system.atomic import atomic_write
from gs_esd.system.device import Scalars, read, to_device
from gs_esd.system.memory import forget_peak

log = logging.getLogger(__name__)

LOG_EVERY = 10
"""Steps between lines of metrics.jsonl, and what trackers are told."""
FIRST_PREVIEW_S = 2.0
"""Seconds until the first preview picture; later ones follow at the configured interval."""


def is_finished(folder: Path) -> bool:
    """Whether a run has come to its end in this folder: metrics.json is written last."""
    return (folder / "metrics.json").exists()


class Trainer:
    """One run in one folder: begins, goes on where it was stopped, and writes what came of it."""

    def __init__(self, config: Config, folder: Path, parts: Parts) -> None:
        """Take the parts of a run; tests bring their own. A checkpoint in the folder is taken up.

        Raises UserError for a checkpoint that is damaged.
        """
        self.config = config
        self.folder = folder
        self.parts = parts
        self.step = 0
        self.seconds = 0.0
        self.kappas = KappaCount()
        self.look_every = 1 if parts.device.type == "cpu" else LOG_EVERY
        self.checkpoint = folder / "checkpoints" / "last.pt"
        self.health = Health(self.checkpoint)
        self._seen: dict[str, float] = {}
        self._log = folder / "metrics.jsonl"
        self._writes = parts.ranks.is_first
        self.checkpoint.parent.mkdir(parents=True, exist_ok=True)
        if self.checkpoint.exists():
            self.load()
        if self._writes:
            self._forget_later_lines()

    @classmethod
    def from_config(cls, config: Config, folder: Path) -> "Trainer":
        """The run that a configuration asks for.

        Raises UserError for what the prior, the cloud or the folder cannot do.
        """
        return cls(config, folder, make_parts(config))

    def train(self) -> None:
        """Make all steps that are left and write the results.

        Raises Interrupted on SIGINT or SIGTERM, after a checkpoint; NonFiniteError and UserError
        where the run cannot go on.
        """
        forget_peak(self.parts.device)
        saved_at = time.monotonic()
        preview_at = saved_at + FIRST_PREVIEW_S
        snapshots = Snapshots(self.config, self.folder)
        with (
            stop_request() as stop,
            Progress(self.config.steps, done=self.step) as progress,
            Tracking(self.config, self.folder, self.step) as tracking,
        ):
            while self.step < self.config.steps:
                if self._writes:
                    snapshots.update(self.parts.cloud, self.step)
                started = time.monotonic()
                scalars = self.train_step()
                now = time.monotonic()
                self.seconds += now - started
                progress.update(self.step, scalars, len(self.parts.cloud["means"]))
                if self._is_logged():
                    tracking.scalars(scalars, self.step)
                # Asked once: a signal after the save waits for the next.
                stopping = self._all_stop(bool(stop))
                if stopping or now - saved_at > self.config.checkpoint_every_s:
                    self.save()
                    saved_at = now
                if stopping:
                    raise Interrupted(stop.signal or signal.SIGTERM)
                if self._writes and now > preview_at:
                    tracking.picture(self.save_preview(), self.step)
                    preview_at = now + self.config.preview_every_s
        self.save()
        if self._writes:
            write_results(
                self.folder, self.config, self.parts.cloud, self.parts.orbit, self.seconds
            )
            snapshots.remove()

    def train_step(self) -> dict[str, float]:
        """One step of the cloud; returns what is logged, as it was when last looked at.

        That is every `look_every` steps, since a look waits for the GPU. Raises NonFiniteError, and
        UserError for a cloud that nobody can see, with the step at which it became so.
        """
        parts, progress = self.parts, self.step / self.config.steps
        ranks, views = parts.ranks, self.draw_views()
        mine = ranks.share(len(views))

        renderings = render(parts.cloud, views.cameras[mine])
        parts.densifier.before_backward(renderings.info, self.step)
        x_0 = parts.prior.encode(renderings.over(views.background))
        all_x_0, all_renderings = ranks.gather(x_0), gather_renderings(ranks, renderings)
        scalars = parts.rendered.update(all_renderings, all_x_0, views)

        log_snr = to_device(parts.levels(views, progress, parts.generators["levels"]), parts.device)
        eps = torch.randn(all_x_0.shape, generator=parts.generators["noise"])
        eps = to_device(eps, parts.device)
        noisy = noised(all_x_0, views, log_snr, eps, progress)
        scalars |= self._watch_kappa(all_x_0, noisy)
        noisy = noisy[mine]
        gradient = score_difference(
            parts.source, parts.omega, parts.prior, parts.rendered, noisy, parts.ask
        )
        x_0.backward(gradient / len(views))
        ranks.sum_gradients(parts.cloud.values())
        scalars |= self._describe(gradient, noisy, renderings)
        self.health.note_gradients(scalars.values(), parts.cloud, self.step)
        self.health.note_alpha(all_renderings.alpha, self.step)
        if self._looks():
            self.health.check()
            self._seen = ranks.mean(read(scalars))

        self._follow_rates()
        for optimizer in parts.optimizers.values():
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        parts.densifier.after_backward(gather_info(ranks, renderings.info), self.step)
        self.health.note_parameters(parts.cloud, self.step)
        if self._looks():
            self.health.check()
        self.step += 1
        if self._writes and self._is_logged():
            self._append(self._seen)
        return self._seen

    def draw_views(self) -> Views:
        """The cameras and the background of the next step."""
        parts, stage = self.parts, self.stage()
        cameras = sample_orbit(
            stage.views, parts.orbit, stage.resolution, parts.generators["cameras"]
        )
        background = parts.draw_background(parts.generators["background"])
        return Views(cameras.to(parts.device), to_device(background, parts.device))

    def _all_stop(self, asked: bool) -> bool:
        """Whether to stop here. Processes agree on it now and then, because it makes them wait."""
        ranks = self.parts.ranks
        return (ranks.count == 1 or self._is_logged()) and ranks.any(asked)

    def stage(self) -> StageConfig:
        """The stage that the current step belongs to."""
        stages = self.config.stages
        stage: StageConfig = getattr(stages, stage_at(stages, self.step / self.config.steps))
        return stage

    def save(self) -> None:
        """Write everything from which the run goes on bit for bit.

        Raises NonFiniteError where that is not worth it.
        """
        self.health.check()
        if not self._writes:
            return
        parts = self.parts
        state: dict[str, Any] = {
            "step": self.step,
            "seconds": self.seconds,
            "cloud": cloud_state(parts.cloud, parts.optimizers),
            "generators": generator_states(parts.generators),
            "rendered": parts.rendered.state_dict(),
            "densifier": parts.densifier.state_dict(),
            "kappas": self.kappas.state_dict(),
        }
        save_checkpoint(self.checkpoint, state)

    def load(self) -> None:
        """Take up the folder's checkpoint. Raises UserError where it is damaged."""
        state, parts = load_checkpoint(self.checkpoint), self.parts
        self.step, self.seconds = state["step"], state["seconds"]
        restore_cloud(parts.cloud, parts.optimizers, state["cloud"])
        restore_generators(parts.generators, state["generators"])
        parts.rendered.load_state_dict(
            {name: value.to(parts.device) for name, value in state["rendered"].items()}
        )
        parts.densifier.load_state_dict(state["densifier"])
        self.kappas.load_state_dict(state["kappas"])
        log.info("going on from step %d", self.step)

    def save_preview(self) -> Float[Tensor, "H W 3"]:
        """Write preview.png of the cloud as it is, and return the picture."""
        picture = preview(self.parts.cloud, self.parts.orbit, self.stage().resolution)
        save_png(self.folder / "preview.png", picture)
        return picture

    def _follow_rates(self) -> None:
        rates = self.config.learning_rates
        decay = rates.final_fraction ** (self.step / self.config.steps)
        for name, optimizer in self.parts.optimizers.items():
            optimizer.param_groups[0]["lr"] = getattr(rates, name) * decay

    def _describe(self, gradient: Tensor, noisy: NoisyViews, renderings: Renderings) -> Scalars:
        scalars: Scalars = {
            "loss": 0.5 * gradient.square().sum() / len(gradient),
            "log_snr": noisy.log_snr.mean(),
            "alpha": renderings.alpha.detach().mean(),
            "gaussians": float(len(self.parts.cloud["means"])),
        }
        if isinstance(self.parts.source, EsdSource):
            lam = self.parts.source.lam(noisy)
            scalars["lambda_esd"] = lam.mean() if isinstance(lam, Tensor) else lam
        return scalars

    def _watch_kappa(self, x_0: Float[Tensor, "B C h w"], noisy: NoisyViews) -> Scalars:
        if len(x_0) < 2:  # one rendering differs from no other
            return {}
        kappas = kappa(x_0, noisy.log_snr)
        if self.parts.source.branches(noisy).null:
            if warning := self.kappas.add(kappas, noisy.progress):
                log.warning(warning)
        return {"kappa": kappas.log().mean().exp()}

    def _looks(self) -> bool:
        due = (self.step + 1) % self.look_every == 0 or self.step + 1 == self.config.steps
        return due or self.parts.densifier.refines(self.step)

    def _is_logged(self) -> bool:
        return self.step % LOG_EVERY == 0 or self.step == self.config.steps

    def _append(self, scalars: dict[str, float]) -> None:
        with self._log.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": self.step, **scalars}) + "\n")

    def _forget_later_lines(self) -> None:
        """Drop what a stopped run logged after its checkpoint; those steps are made again."""
        if self._log.exists():
            lines = self._log.read_text(encoding="utf-8").splitlines()
            kept = [line for line in lines if _step_of(line) <= self.step]
            with atomic_write(self._log) as partial:
                partial.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")


def _step_of(line: str) -> float:
    """The step of a line of metrics.jsonl; infinite for one that a kill left half written."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
