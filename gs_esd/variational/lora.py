"""Learned variational model: LoRA and a camera embedding on a U-Net, as in the ESD paper.

Notation (see also gs_esd/guidance/objectives.py)
    ε_φ         a frozen U-Net; ε_ψ is the same U-Net with the LoRA and the camera embedding
    ε_ψ(c)      conditioned on the camera c
    ε_ψ(∅)      conditioned on the null camera, which replaces a fraction of cameras in training
    R           rows of a batch: an image, noise level and camera each

ψ is trained to denoise the renderings (arXiv 2401.00909, Algorithm 1), with the settings of
ProlificDreamer (arXiv 2305.16213): AdamW at 1e-4 with betas of 0.9 and 0.99, rank 4, t uniform over
all timesteps, mean squared error of the network's own prediction type without weighting, and the
prompt without view words. Unlike in the reference code, cameras are dropped per image instead of
per batch, and ψ equals φ exactly at initialisation.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gs_esd.cameras.orbit import Cameras
from gs_esd.cameras.views import Views
from gs_esd.diffusion.parameterization import training_target
from gs_esd.diffusion.process import add_noise
from gs_esd.diffusion.schedule import NoiseSchedule
from gs_esd.errors import UserError
from gs_esd.priors.text import TextEmbeddings
from gs_esd.priors.unet import UnetDenoiser, chunks
from gs_esd.render.renderings import Renderings
from gs_esd.system.device import Scalars, to_device
from gs_esd.system.ranks import Ranks
from gs_esd.variational.adapter import LoraAdapter
from gs_esd.variational.camera_embedding import CameraEmbedding

LOG_SNR_TOLERANCE = 1e-2
"""Largest difference of two equal schedules: alpha and sigma then differ by at most 0.3 %."""

DrawTrainingLevels = Callable[[int, torch.Generator], Float[Tensor, " R"]]
"""Draws the noise levels (log_snr) of a number of images in training."""


def uniform_timesteps(schedule: NoiseSchedule) -> DrawTrainingLevels:
    """Draw t uniformly from {0 .. T - 1}, as in the training of φ."""
    return lambda n, generator: schedule.log_snr.cpu()[
        torch.randint(len(schedule), (n,), generator=generator)
    ]


class LoraScore:
    """ε_ψ as a LoRA, trained on every batch of renderings; a `VariationalScore` (base.py).

    The LoRA is injected into the denoiser's U-Net, which may be the prior's. It is enabled only
    during calls of this object: otherwise the U-Net's output is bit for bit what it was before.

    Attributes:
        denoiser: ε_φ, and ε_ψ while `adapter` is enabled.
        adapter: the low-rank matrices.
        parameters: all trained parameters by name.
    """

    def __init__(
        self,
        denoiser: UnetDenoiser,
        prompt: TextEmbeddings,
        generator: torch.Generator,
        *,
        rank: int = 4,
        learning_rate: float = 1e-4,
        camera_dropout: float = 0.1,
        steps_per_update: int = 1,
        draw_levels: DrawTrainingLevels | None = None,
        rows_per_call: int = 0,
        train_rows: int = 0,
        gradient_checkpointing: bool = False,
        ranks: Ranks | None = None,
    ) -> None:
        """Inject the LoRA; the U-Net's own weights, of any float dtype, are frozen.

        Args:
            denoiser: the prior's, or another of the same schedule (`check_same_schedule`).
            prompt: without view words, one row.
            generator: on the CPU; draws initial weights, noise levels, noise and dropped cameras.
            rank: of the LoRA's matrices.
            learning_rate: of AdamW.
            camera_dropout: fraction of images on which ε_ψ(∅) is trained, in [0, 1]. At 0 it is
                never trained, and λ > 0 would follow noise.
            steps_per_update: optimiser steps per batch of renderings, each with new noise levels,
                noise and dropped cameras.
            draw_levels: noise levels in training; `uniform_timesteps` if None.
            rows_per_call: images per call of the U-Net without gradients, all if 0; fewer take
                less memory.
            train_rows: the same with gradients; these are accumulated.
            gradient_checkpointing: recompute activations in the backward pass to save memory.
            ranks: processes between which the rows of a batch are divided in training.

        Raises:
            UserError: the U-Net is conditioned on classes.
        """
        self.denoiser = denoiser
        self._prompt = prompt
        self._generator = generator
        self._camera_dropout = camera_dropout
        self._steps_per_update = steps_per_update
        self._draw_levels = draw_levels or uniform_timesteps(denoiser.schedule)
        self._rows_per_call = rows_per_call
        self._train_rows = train_rows
        self._ranks = ranks or Ranks()
        with _seeded_by(generator):
            self.adapter = LoraAdapter(denoiser.unet, rank)
            width = denoiser.unet.time_embedding.linear_2.out_features
            self._embed_cameras = CameraEmbedding(width).to(denoiser.unet.device)
        if gradient_checkpointing:
            denoiser.unet.enable_gradient_checkpointing()
        self.parameters = self.adapter.parameters | {
            f"camera.{name}": parameter
            for name, parameter in self._embed_cameras.named_parameters()
        }
        self._optimizer = torch.optim.AdamW(
            self.parameters.values(), lr=learning_rate, betas=(0.9, 0.99)
        )

    @torch.no_grad()
    def predict_noise(
        self,
        x_t: Float[Tensor, "R C h w"],
        log_snr: Float[Tensor, " R"],
        views: Views,
        *,
        uncond: Bool[Tensor, " R"],
    ) -> Float[Tensor, "R C h w"]:
        """Predict ε_ψ(∅) where `uncond`, else ε_ψ(c)."""
        with self.adapter.enabled():
            parts = [
                self.denoiser(
                    x_t[rows], log_snr[rows], *self.conditioning(views.cameras[rows], uncond[rows])
                )
                for rows in chunks(len(x_t), self._rows_per_call)
            ]
        return torch.cat(parts)

    def update(
        self, renderings: Renderings, x_0: Float[Tensor, "B C h w"], views: Views
    ) -> Scalars:
        """Take `steps_per_update` training steps.

        Returns:
            "lora_loss", the mean squared error of the network's prediction type, averaged over the
            steps. The caller must check that it is finite.
        """
        x_0 = x_0.detach().float()
        losses = [self.train_step(x_0, views.cameras) for _ in range(self._steps_per_update)]
        return {"lora_loss": torch.stack(losses).mean()}

    def train_step(self, x_0: Float[Tensor, "B C h w"], cameras: Cameras) -> Float[Tensor, ""]:
        """Take one optimiser step of LoRA and camera embedding; returns its loss."""
        # Every rank draws for the whole batch, from the same generator, and trains on its share.
        x_t, log_snr, target, uncond = self._draw_batch(x_0)
        mine = self._ranks.share(len(x_0))
        squared_error = self._backward(
            x_t[mine], log_snr[mine], target[mine], cameras[mine], uncond[mine]
        )
        self._ranks.sum_gradients(self.parameters.values())
        self._optimizer_step(x_0.numel())
        return self._ranks.sum(squared_error) / x_0.numel()

    def _draw_batch(
        self, x_0: Float[Tensor, "B C h w"]
    ) -> tuple[
        Float[Tensor, "B C h w"], Float[Tensor, " B"], Float[Tensor, "B C h w"], Bool[Tensor, " B"]
    ]:
        """Noisy images, their noise levels, training targets, and which cameras are dropped."""
        n, generator, device = len(x_0), self._generator, x_0.device
        log_snr = to_device(self._draw_levels(n, generator), device)
        eps = to_device(torch.randn(x_0.shape, generator=generator), device)
        uncond = to_device(torch.rand(n, generator=generator) < self._camera_dropout, device)
        target = training_target(x_0, eps, log_snr, self.denoiser.prediction_type)
        return add_noise(x_0, eps, log_snr), log_snr, target, uncond

    def _backward(
        self,
        x_t: Float[Tensor, "R C h w"],
        log_snr: Float[Tensor, " R"],
        target: Float[Tensor, "R C h w"],
        cameras: Cameras,
        uncond: Bool[Tensor, " R"],
    ) -> Float[Tensor, ""]:
        """Accumulate the gradient of the sum of squared errors; returns the sum."""
        total = x_t.new_zeros(())
        with self.adapter.enabled():  # in the backward pass too: checkpointing runs layers again
            for rows in chunks(len(x_t), self._train_rows):
                predicted = self.denoiser.predict(
                    x_t[rows], log_snr[rows], *self.conditioning(cameras[rows], uncond[rows])
                )
                loss = (predicted - target[rows]).square().sum()
                loss.backward()
                total += loss.detach()
        return total

    def conditioning(
        self, cameras: Cameras, uncond: Bool[Tensor, " R"]
    ) -> tuple[TextEmbeddings, Float[Tensor, "R E"]]:
        """U-Net conditioning: text embeddings, and the camera embedding, null where `uncond`."""
        return self._prompt.expand(len(cameras)), self._embed_cameras(cameras, uncond)

    def _optimizer_step(self, num_values: int) -> None:
        """Step along the gradient of the mean over `num_values`, from that of the sum.

        In float16 the gradient of the mean would underflow in the U-Net's backward pass. The
        gradient of the sum changes with the number and size of images, and AdamW takes too long
        steps whenever it grows.
        """
        gradients = [
            parameter.grad for parameter in self.parameters.values() if parameter.grad is not None
        ]
        torch._foreach_div_(gradients, num_values)  # one fused kernel launch instead of 261
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Tensor]:
        """LoRA, camera embedding, the optimiser's moments, and the generator's state."""
        state = {name: value.detach().clone() for name, value in self.parameters.items()}
        for name, parameter in self.parameters.items():
            for moment, value in self._optimizer.state[parameter].items():
                state[f"optimizer.{moment}.{name}"] = value.clone()
        return state | {"generator": self._generator.get_state()}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what `state_dict` returned, from any device."""
        self._optimizer.state.clear()
        for name, parameter in self.parameters.items():
            parameter.copy_(state[name])
            moments = {
                moment: state[f"optimizer.{moment}.{name}"].clone()
                for moment in ("step", "exp_avg", "exp_avg_sq")
                if f"optimizer.{moment}.{name}" in state
            }
            if moments:
                moments["step"] = moments["step"].cpu()  # where AdamW keeps it
                self._optimizer.state[parameter] = moments
        self._generator.set_state(state["generator"].cpu())


def check_same_schedule(own: NoiseSchedule, prior: NoiseSchedule) -> None:
    """Check that a separate U-Net for ψ was trained at the noise levels of the prior.

    ψ is evaluated at the prior's noise levels.

    Raises:
        UserError: it was not.
    """
    if len(own) == len(prior):
        difference = float((own.log_snr.cpu() - prior.log_snr.cpu()).abs().max())
        if difference <= LOG_SNR_TOLERANCE:
            return
    raise UserError(
        "the model for variational=lora was trained at other noise levels than the prior: "
        f"{_describe(own)}, the prior {_describe(prior)}. Use one with the prior's schedule "
        "(Stable Diffusion 2.1 has that of 2.1-base), or leave variational.base_path out."
    )


def _describe(schedule: NoiseSchedule) -> str:
    first, last = float(schedule.log_snr[0]), float(schedule.log_snr[-1])
    return f"{len(schedule)} steps from log SNR {first:.2f} to {last:.2f}"


@contextmanager
def _seeded_by(generator: torch.Generator) -> Iterator[None]:
    """Context in which torch's global generator, which draws initial weights, is seeded."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        yield
