"""Training of a LoRA on a U-Net during a run: what all learned variational models share.

Notation
    R           rows of a call of the U-Net: an image, noise level and condition each
    F           numbers of a condition: the features of a view (camera_conditioning.py), and a last
                one that is 1 for ∅, which takes the place of its camera but keeps its background

As in ProlificDreamer (arXiv 2305.16213): AdamW with betas of 0.9 and 0.99, rank 4, the prompt
without view words, a training step for each step of the splats. Unlike there, ψ equals φ exactly at
initialisation, is trained at the noise levels at which it is evaluated, and its loss is that of v
whatever the network predicts.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gs_esd.cameras.views import Views
from gs_esd.diffusion.parameterization import training_target, v_weight
from gs_esd.diffusion.process import add_noise
from gs_esd.errors import UserError
from gs_esd.priors.text import TextEmbeddings
from gs_esd.priors.unet import UnetDenoiser, chunks
from gs_esd.render.renderings import Renderings
from gs_esd.system.device import Scalars, to_device
from gs_esd.system.ranks import Ranks
from gs_esd.variational.adapter import LoraAdapter
from gs_esd.variational.base import NeededPredictions, PsiPredictions
from gs_esd.variational.camera_conditioning import CameraConditioning, camera_features
from gs_esd.variational.closed_form import ClosedFormLatentScore
from gs_esd.variational.lora_options import LoraOptions
from gs_esd.variational.ring_buffer import RingBuffer


@dataclass(frozen=True)
class TrainingBatch:
    """Noised renderings, what the network should predict, and what each error counts."""

    x_t: Float[Tensor, "R C h w"]
    log_snr: Float[Tensor, " R"]
    target: Float[Tensor, "R C h w"]
    weight: Float[Tensor, " R"]
    conditions: Float[Tensor, "R F"]

    def __len__(self) -> int:
        """Number of rows R."""
        return len(self.x_t)

    def __getitem__(self, rows: slice) -> "TrainingBatch":
        """Some of the rows."""
        return TrainingBatch(*(getattr(self, field.name)[rows] for field in fields(self)))


class PsiRows(NamedTuple):
    """Rows of a call of the U-Net: which image of the batch each is of, and its condition."""

    image: Int[Tensor, " R"]
    conditions: Float[Tensor, "R F"]


DEFAULTS = LoraOptions()


class TrainedLora(ABC):
    """A LoRA on a U-Net that is trained on every batch of renderings; a `VariationalScore`.

    It is injected into the denoiser's U-Net, which may be the prior's, and is enabled only during
    calls of this object: otherwise the U-Net's output is bit for bit what it was before.

    Attributes:
        denoiser: ε_φ, and ε_ψ while `adapter` is enabled.
        prompt: the text embedding, one row.
        adapter: the low-rank matrices.
        parameters: all trained parameters by name.
    """

    def __init__(
        self,
        denoiser: UnetDenoiser,
        prompt: TextEmbeddings,
        generator: torch.Generator,
        options: LoraOptions = DEFAULTS,
        *,
        camera_dropout: float = 0.1,
        ranks: Ranks | None = None,
    ) -> None:
        """Inject the LoRA; the U-Net's own weights, of any float dtype, are frozen.

        Args:
            denoiser: the prior's, or another of the same schedule.
            prompt: without view words, one row.
            generator: on the CPU; draws initial weights, renderings, noise levels and noise.
            options: how it is made and trained.
            camera_dropout: fraction of images on which ε_ψ(∅) is trained, in [0, 1]. At 0 it is
                never trained, and λ > 0 would follow noise.
            ranks: processes between which the rows of a batch are divided in training.
        """
        self.denoiser = denoiser
        self.prompt = prompt
        self.options = options
        self._camera_dropout = camera_dropout
        self._generator = generator
        self._ranks = ranks or Ranks()
        self._replay = RingBuffer(options.replay)
        self._updates, self._loss = 0, torch.zeros(())
        with seeded_by(generator):
            self.adapter = LoraAdapter(denoiser.unet, options.rank)
            self._modulation = CameraConditioning(denoiser.unet).to(denoiser.unet.device)
        if options.gradient_checkpointing:
            denoiser.unet.enable_gradient_checkpointing()
        named = {f"camera.{name}": each for name, each in self._modulation.named_parameters()}
        self.parameters = self.adapter.parameters | named
        self._optimizer = torch.optim.AdamW(
            [
                {"params": [*self.adapter.parameters.values()], "lr": options.learning_rate},
                {"params": [*named.values()], "lr": options.modulation_learning_rate},
            ],
            betas=(0.9, 0.99),
        )

    def update(
        self,
        renderings: Renderings,
        x_0: Float[Tensor, "B C h w"],
        views: Views,
        log_snr: Float[Tensor, " B"],
    ) -> Scalars:
        """Keep the renderings, and take `steps_per_update` training steps if they are due.

        Returns:
            "lora_loss", the mean squared error of the last training, averaged over its steps. The
            caller must check that it is finite.
        """
        self._replay.append(views.cameras, x_0=x_0.float(), conditions=self.conditions(views))
        if self._updates % self.options.train_every == 0:
            losses = [self.train_step(log_snr) for _ in range(self.options.steps_per_update)]
            self._loss = torch.stack(losses).mean()
        self._updates += 1
        return {"lora_loss": self._loss}

    def train_step(self, log_snr: Float[Tensor, " B"]) -> Float[Tensor, ""]:
        """Take one optimiser step, on some of the last renderings; returns its loss."""
        # Every rank draws for the whole batch, from the same generator, and trains on its share.
        batch = self._draw_batch(log_snr)
        squared_error = self._backward(batch[self._ranks.share(len(batch))])
        self._ranks.sum_gradients(self.parameters.values())
        self._optimizer_step(batch.x_t.numel())
        return self._ranks.sum(squared_error) / batch.x_t.numel()

    def predict_noise(
        self,
        x_t: Float[Tensor, "B C h w"],
        log_snr: Float[Tensor, " B"],
        views: Views,
        needed: NeededPredictions,
    ) -> PsiPredictions:
        """Predict ε_ψ(∅), ε_ψ(c) or both."""
        rows = self.network_rows(views, needed)
        eps = self._evaluate(x_t, log_snr, rows)
        return self.assemble(eps, rows.image, x_t, log_snr, views, needed)

    @abstractmethod
    def network_rows(self, views: Views, needed: NeededPredictions) -> PsiRows:
        """The rows of a call of the U-Net from which `assemble` makes the predictions."""

    @abstractmethod
    def assemble(
        self,
        eps: Float[Tensor, "R C h w"],
        image: Int[Tensor, " R"],
        x_t: Float[Tensor, "B C h w"],
        log_snr: Float[Tensor, " B"],
        views: Views,
        needed: NeededPredictions,
    ) -> PsiPredictions:
        """The predictions, from the output of the U-Net for the rows of `network_rows`."""

    def conditions(self, views: Views) -> Float[Tensor, "B F"]:
        """The features of each view, and a zero: the camera is not ∅."""
        features = camera_features(views)
        return torch.cat([features, features.new_zeros(len(features), 1)], dim=1)

    def conditioned(
        self, conditions: Float[Tensor, "R F"], first: int = 0
    ) -> AbstractContextManager[None]:
        """Context in which the U-Net's rows from `first` on are conditioned on views."""
        return self._modulation.enabled(conditions[:, :-1], conditions[:, -1] > 0, first)

    def _evaluate(
        self,
        x_t: Float[Tensor, "B C h w"],
        log_snr: Float[Tensor, " B"],
        rows: PsiRows,
    ) -> Float[Tensor, "R C h w"]:
        """ε_ψ of some rows of a batch of images; without gradients."""
        parts = [x_t[:0].float()]
        with torch.no_grad(), self.adapter.enabled():
            for part in chunks(len(rows.image), self.options.rows_per_call):
                image, conditions = rows.image[part], rows.conditions[part]
                with self.conditioned(conditions):
                    text = self.prompt.expand(len(image))
                    parts.append(self.denoiser(x_t[image], log_snr[image], text))
        return torch.cat(parts)

    def _draw_batch(self, log_snr: Float[Tensor, " B"]) -> TrainingBatch:
        """Noise some of the last renderings."""
        generator, device, available = self._generator, log_snr.device, len(self._replay)
        n = min(self.options.train_batch or len(log_snr), available)
        rows = to_device(torch.randperm(available, generator=generator)[:n], device)
        level_of = to_device(torch.randint(len(log_snr), (n,), generator=generator), device)
        x_0 = self._replay["x_0"][rows]
        levels = to_device(self.options.draw_levels(log_snr[level_of], generator), device)
        eps = to_device(torch.randn(x_0.shape, generator=generator), device)
        kind = self.denoiser.prediction_type
        return TrainingBatch(
            add_noise(x_0, eps, levels),
            levels,
            training_target(x_0, eps, levels, kind),
            v_weight(levels, kind) if self.options.v_loss else torch.ones_like(levels),
            self._drop_cameras(self._replay["conditions"][rows]),
        )

    def _drop_cameras(self, conditions: Float[Tensor, "R F"]) -> Float[Tensor, "R F"]:
        """Conditions of a training batch: a fraction is ∅."""
        drawn = torch.rand(len(conditions), 1, generator=self._generator) < self._camera_dropout
        return torch.where(to_device(drawn, conditions.device), dropped(conditions), conditions)

    def _backward(self, batch: TrainingBatch) -> Float[Tensor, ""]:
        """Accumulate the gradient of the sum of squared errors; returns the sum."""
        total = batch.x_t.new_zeros(())
        with self.adapter.enabled():  # in the backward pass too: checkpointing runs layers again
            for rows in chunks(len(batch), self.options.train_rows):
                part = batch[rows]
                with self.conditioned(part.conditions):
                    text = self.prompt.expand(len(part))
                    error = self.denoiser.predict(part.x_t, part.log_snr, text) - part.target
                    loss = (part.weight * error.square().flatten(1).sum(1)).sum()
                    loss.backward()
                total += loss.detach()
        return total

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
        """Parameters, the optimiser's moments, kept renderings, and the generator's state."""
        state = {name: value.detach().clone() for name, value in self.parameters.items()}
        for name, parameter in self.parameters.items():
            for moment, value in self._optimizer.state[parameter].items():
                state[f"optimizer.{moment}.{name}"] = value.clone()
        for prefix, part in self._buffers().items():
            state |= {f"{prefix}{name}": value.clone() for name, value in part.state_dict().items()}
        progress = {"updates": torch.tensor(self._updates), "loss": self._loss.clone()}
        return state | progress | {"generator": self._generator.get_state()}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Restore what `state_dict` returned, from any device.

        Raises:
            UserError: it is that of another kind of LoRA.
        """
        if set(self.parameters) - set(state) or "replay.written" not in state:
            raise UserError(
                "the checkpoint is of a LoRA of another kind, or of an earlier version, which was "
                "conditioned on the camera in another way. Finish that run with the version that "
                "began it, or begin anew: delete its folder or give another, hydra.sweep.dir=FOLDER"
            )
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
        for prefix, part in self._buffers().items():
            names = [name for name in state if name.startswith(prefix)]
            part.load_state_dict({name.removeprefix(prefix): state[name] for name in names})
        if "updates" in state:  # of a version that trained at every step it does not matter
            self._updates, self._loss = int(state["updates"]), state["loss"]
        self._generator.set_state(state["generator"].cpu())

    def _buffers(self) -> dict[str, RingBuffer | ClosedFormLatentScore]:
        """What is kept of renderings, by the prefix of its names in `state_dict`."""
        return {"replay.": self._replay}


def dropped(conditions: Float[Tensor, "R F"]) -> Float[Tensor, "R F"]:
    """The same conditions with ∅ in the place of the camera."""
    return torch.cat([conditions[:, :-1], torch.ones_like(conditions[:, -1:])], dim=1)


@contextmanager
def seeded_by(generator: torch.Generator) -> Iterator[None]:
    """Context in which torch's global generator, which draws initial weights, is seeded."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        yield
