"""Photometric fit: splats and the cameras of photographs, trained together on the photographs.

Held-out photographs get steps of their cameras alone, from which the splats learn nothing. What
jumps (azimuths to even spacing, cameras that are searched again) is in gs_esd/registration/fit.py.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import Parameter, ParameterDict
from torch.nn.functional import avg_pool2d

from gs_esd.config.options import DefaultDensifyConfig, LearningRatesConfig
from gs_esd.errors import NonFiniteError
from gs_esd.photos.photo_set import PhotoSet
from gs_esd.registration.losses import frame_psnr, object_psnr, over, photometric_loss
from gs_esd.registration.photo_cameras import CameraParameters
from gs_esd.registration.search import render_rgba
from gs_esd.render.renderings import render
from gs_esd.run.checkpoint import (
    generator_states,
    particle_state,
    restore_generators,
    restore_particle,
)
from gs_esd.splats.densify import build_densifier
from gs_esd.splats.parameters import create_optimizers
from gs_esd.splats.particle import Particle
from gs_esd.system.device import to_device
from gs_esd.system.rng import stream

RATES = LearningRatesConfig(
    means=2e-3,
    quats=1e-2,
    scales=1e-2,
    opacities=3e-2,
    sh0=1.5e-2,
    shN=1.5e-3,
    final_fraction=0.1,
)
CAMERA_FINAL_FRACTION = 0.1
"""Of the rates of cameras at the start, what is left at the end."""
PHOTOS_PER_STEP = 5
USUAL_PHOTOGRAPHS, MAX_LONGER = 100, 3.0
"""The fit of more photographs takes longer by the square root of how many more, up to a limit."""
HELD_OUT_EVERY = 6
"""One photograph of so many is held out."""
MAX_SCALE, MIN_SCALE = 0.12, 0.003
"""Standard deviations of Gaussians in world units."""
MAX_SCALE_RATIO = 2.0
"""Of the largest standard deviation of a Gaussian to the second largest: longer ones are needles
from sides that were not photographed."""
CHECK_EVERY = 10
"""Steps between checks for NaN, for which a GPU waits."""
MEASURED_AT_ONCE = 8


@dataclass(frozen=True)
class FitStage:
    """A part of the fit: `steps` at `resolution` pixels a side."""

    resolution: int
    steps: int


@dataclass(frozen=True)
class FitConfig:
    """How long and how finely to fit."""

    stages: tuple[FitStage, ...]
    cap: int
    """Gaussians that there are at most."""
    sh_degree: int = 2
    """Of the spherical harmonics in the second half: a turntable's lights do not turn along."""
    even_spacing: bool = True
    """Whether azimuths may be moved to even spacing where photographs then fit better."""
    known_order: bool = False
    """Whether the cameras to start from are in the right order: none is searched again, and if
    `even_spacing`, azimuths stay as they are."""

    @property
    def steps(self) -> int:
        """Steps of all stages."""
        return sum(stage.steps for stage in self.stages)


def default_fit(resolution: int, photographs: int = 0) -> FitConfig:
    """The fit of so many photographs of `resolution` pixels a side."""
    stages = [FitStage(64, 200), FitStage(128, 1000), FitStage(256, 500), FitStage(512, 300)]
    used = [stage for stage in stages if stage.resolution <= resolution]
    longer = min(MAX_LONGER, max(1.0, math.sqrt(photographs / USUAL_PHOTOGRAPHS)))
    return FitConfig(
        tuple(
            FitStage(stage.resolution, round(longer * stage.steps))
            for stage in used or [FitStage(resolution, 1200)]
        ),
        cap=6000 if resolution <= 128 else 8000,
    )


def held_out_photos(n: int, seed: int) -> Int[Tensor, " H"]:
    """Indices of those of n photographs that no splats learn from: every sixth after a shuffle."""
    order = torch.randperm(n, generator=stream(seed, "held-out photographs"))
    return order[::HELD_OUT_EVERY].sort().values


class PhotometricFit:
    """Splats and cameras, fitted to photographs a step at a time.

    Args:
        photos: the photographs; those held out are used for their own cameras only.
        splats: raw parameters to start from, changed in place.
        cameras: to start from, changed in place.
        config: how long and how finely.
        seed: of the run.
    """

    def __init__(
        self,
        photos: PhotoSet,
        splats: ParameterDict,
        cameras: CameraParameters,
        config: FitConfig,
        seed: int,
    ) -> None:
        self.config = config
        self.cameras = cameras
        self.device = splats["means"].device
        self.step_number = 0
        self.loss = torch.tensor(math.nan)
        self._images = _pyramid(photos, config, self.device)
        self.held_out = held_out_photos(len(photos.names), seed)
        is_trained = torch.ones(len(photos.names), dtype=torch.bool)
        is_trained[self.held_out] = False
        self.trained = is_trained.nonzero()[:, 0]
        self._queues = {"trained": self.trained[:0], "held_out": self.held_out[:0]}
        self._generators = {
            purpose: stream(seed, f"fit {purpose}")
            for purpose in ("trained", "held_out", "background")
        }
        optimizers = create_optimizers(splats, {name: getattr(RATES, name) for name in splats})
        densify = DefaultDensifyConfig(
            cap=config.cap, every=40, start_fraction=0.1, stop_fraction=0.7, grow_quantile=0.8
        )
        densifier = build_densifier(
            densify, splats, optimizers, config.steps, stream(seed, "fit densify")
        )
        self.particle = Particle(splats, optimizers, densifier)

    @property
    def splats(self) -> ParameterDict:
        """Raw parameters as in gs_esd/splats/parameters.py."""
        return self.particle.splats

    @property
    def progress(self) -> float:
        """The fraction of the steps that is done, in [0, 1]."""
        return self.step_number / self.config.steps

    @property
    def resolution(self) -> int:
        """Pixels a side of the current stage, or of the last one at the end."""
        end = 0
        for stage in self.config.stages:
            end += stage.steps
            if self.step_number < end:
                return stage.resolution
        return self.config.stages[-1].resolution

    def step(self) -> None:
        """One step of splats and cameras, and now and then one of the held-out cameras.

        Raises:
            NonFiniteError: numbers became NaN or infinite.
            UserError: no Gaussian is left.
        """
        self._train(self._draw("trained"))
        every = max(1, len(self.trained) // max(1, len(self.held_out)))
        if self.step_number % every == 0 and len(self.held_out):
            self._train_held_out(self._draw("held_out"))
        self.step_number += 1
        if self.step_number % CHECK_EVERY == 0 or self.step_number == self.config.steps:
            self.check_finite()

    def _draw(self, which: str) -> Int[Tensor, " B"]:
        """The next photographs, all of them once before any comes again."""
        rows = self.trained if which == "trained" else self.held_out
        n = min(PHOTOS_PER_STEP, len(rows))
        queue = self._queues[which]
        if len(queue) < n:
            order = torch.randperm(len(rows), generator=self._generators[which])
            # What is left comes first, and is then not drawn twice in one batch.
            fresh = rows[order]
            is_left = torch.isin(fresh, queue)
            queue = torch.cat([queue, fresh[~is_left], fresh[is_left]])
        self._queues[which] = queue[n:]
        return queue[:n]

    def _train(self, rows: Int[Tensor, " B"]) -> None:
        photo, shared = self.cameras.values(rows)
        renderings = render(self.splats, self.cameras.cameras(photo, shared, self.resolution))
        self.particle.densifier.step_pre_backward(self.step_number, renderings.info)
        rgba = torch.cat([renderings.rgb, renderings.alpha], dim=-1).permute(0, 3, 1, 2)
        loss = self._loss(rgba, rows) + self.cameras.penalty(photo, shared)
        loss.backward()
        self.loss = loss.detach()
        assert photo.grad is not None
        assert shared.grad is not None
        factor = CAMERA_FINAL_FRACTION**self.progress
        self.cameras.photo.step(photo.grad, rows, factor)
        self.cameras.shared.step(shared.grad, torch.zeros(1, dtype=torch.long), factor)
        for name, optimizer in self.particle.optimizers.items():
            optimizer.param_groups[0]["lr"] = RATES.at(name, self.progress)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.particle.densifier.step_post_backward(self.step_number, renderings.info)
        clamp_scales(self.splats)

    def _train_held_out(self, rows: Int[Tensor, " B"]) -> None:
        photo, shared = self.cameras.values(rows)
        with _frozen(self.splats):
            cameras = self.cameras.cameras(photo, shared.detach(), self.resolution)
            loss = self._loss(render_rgba(self.splats, cameras), rows)
        (loss + self.cameras.penalty(photo, shared)).backward()
        assert photo.grad is not None
        self.cameras.photo.step(photo.grad, rows, CAMERA_FINAL_FRACTION**self.progress)

    def _loss(self, rgba: Float[Tensor, "B 4 h w"], rows: Int[Tensor, " B"]) -> Float[Tensor, ""]:
        """Of renderings of photographs, both over one random background."""
        background = torch.rand(3, generator=self._generators["background"])
        background = to_device(background, self.device)
        targets = self._images[self.resolution][rows]
        return photometric_loss(over(rgba, background), over(targets, background))

    @torch.no_grad()
    def measure(self, rows: Int[Tensor, " n"]) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """PSNR of photographs at the current resolution: of the whole frame, and of the object."""
        frames, objects = [], []
        for part in rows.split(MEASURED_AT_ONCE):
            photo, shared = self.cameras.values(part)
            rgba = render_rgba(self.splats, self.cameras.cameras(photo, shared, self.resolution))
            targets = self._images[self.resolution][part]
            frames.append(frame_psnr(rgba, targets))
            objects.append(object_psnr(rgba, targets))
        return torch.cat(frames).cpu(), torch.cat(objects).cpu()

    def widen_harmonics(self) -> None:
        """Let colours depend on the view, from coefficients of zero."""
        have = self.splats["shN"]
        n, more = len(have), (self.config.sh_degree + 1) ** 2 - 1 - have.shape[1]
        if more <= 0:
            return
        wide = torch.cat([have.detach(), have.new_zeros(n, more, 3)], dim=1)
        self.splats["shN"] = Parameter(wide)
        optimizer = self.particle.optimizers["shN"]
        optimizer.state.clear()
        optimizer.param_groups[0]["params"] = [self.splats["shN"]]

    def check_finite(self) -> None:
        """Raise NonFiniteError if splats or cameras have numbers that are not finite."""
        tables = {"cameras": self.cameras.photo.table, "lens": self.cameras.shared.table}
        values = {**{f"splats' {name}": each for name, each in self.splats.items()}, **tables}
        is_finite = torch.stack([each.detach().isfinite().all() for each in values.values()])
        if not bool(is_finite.all()):
            bad = [name for name, good in zip(values, is_finite.tolist(), strict=True) if not good]
            raise NonFiniteError(
                f"step {self.step_number} of the photometric fit: the {', '.join(bad)} became NaN "
                "or infinite. Another seed=... starts from other splats."
            )

    def state_dict(self) -> dict[str, Any]:
        """Everything that a resumed fit needs to go on, on a CPU bit for bit."""
        return {
            "step": self.step_number,
            "particle": particle_state(self.particle),
            "cameras": self.cameras.state_dict(),
            "generators": generator_states(self._generators),
            "queues": {name: queue.clone() for name, queue in self._queues.items()},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.step_number = state["step"]
        restore_particle(self.particle, state["particle"])
        self.cameras.load_state_dict(state["cameras"])
        restore_generators(self._generators, state["generators"])
        self._queues = {name: queue.clone() for name, queue in state["queues"].items()}


def _pyramid(
    photos: PhotoSet, config: FitConfig, device: torch.device
) -> dict[int, Float[Tensor, "M 4 h w"]]:
    """The photographs at the resolution of every stage."""
    full = photos.rgba.shape[-1]
    sizes = {stage.resolution for stage in config.stages}
    return {
        size: (photos.rgba if size == full else avg_pool2d(photos.rgba, full // size)).to(device)
        for size in sizes
    }


@torch.no_grad()
def clamp_scales(splats: ParameterDict) -> None:
    """Limit the standard deviations of Gaussians, and the ratio of the two largest, in place."""
    scales = splats["scales"]
    middle = scales.median(dim=1, keepdim=True).values
    scales.copy_(
        scales.minimum(middle + math.log(MAX_SCALE_RATIO)).clamp(
            math.log(MIN_SCALE), math.log(MAX_SCALE)
        )
    )


@contextmanager
def _frozen(splats: ParameterDict) -> Iterator[None]:
    """Splats without gradients, which then take no time."""
    splats.requires_grad_(False)
    try:
        yield
    finally:
        splats.requires_grad_(True)
