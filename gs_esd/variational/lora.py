"""q learned: a low-rank adapter on a U-Net and an embedding of the camera, as in the ESD paper.

Notation (see also gs_esd/guidance/objectives.py)
    ε_φ         a frozen U-Net; ε_ψ is the same U-Net with the adapter and the embedding added
    ε_ψ(c)      of the camera c; ε_ψ(∅) of the null camera, trained in place of a share of cameras
    R           rows of a batch, an image, noise level and camera each

ψ learns by denoising what is rendered (arXiv 2401.00909, Algorithm 1; the values are those of its
base, ProlificDreamer, arXiv 2305.16213): AdamW at 1e-4 with betas of 0.9 and 0.99, rank 4, t
uniform over all timesteps, the mean squared error unweighted in what the network predicts, and the
prompt without view words. Unlike in the reference code, each image's camera is dropped by itself
rather than those of a whole batch at once, and ψ is φ exactly at the start.
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
from gs_esd.priors.text_embeddings import TextEmbeddings
from gs_esd.priors.unet import UnetDenoiser, chunks
from gs_esd.render.renderings import Renderings
from gs_esd.system.device import Scalars, to_device
from gs_esd.system.ranks import Ranks
from gs_esd.variational.adapter import Adapter
from gs_esd.variational.camera_embedding import CameraEmbedding

SAME_LOG_SNR = 1e-2
"""How far the levels of two models may lie apart: alpha and sigma then differ by at most 0.3 %."""

DrawTrainingLevels = Callable[[int, torch.Generator], Float[Tensor, " R"]]
"""The noise levels (log_snr) that a number of images is looked at."""


def uniform_timesteps(schedule: NoiseSchedule) -> DrawTrainingLevels:
    """t ~ U{0 .. T - 1}, as φ itself was trained."""
    return lambda n, generator: schedule.log_snr.cpu()[
        torch.randint(len(schedule), (n,), generator=generator)
    ]


class LoraScore:
    """ε_ψ, learned on the fly from every batch of renderings.

    The adapter sits in the denoiser's own U-Net, which may be the prior's: outside of calls to this
    object it is switched off, and whoever else uses the U-Net gets every bit as before.
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
        """Put the adapter in; the U-Net's own weights are frozen, and may be of any float dtype.

        denoiser: the prior's, or one of its own: then see `check_same_schedule`.
        prompt: one row, the prompt without view words.
        generator: on the CPU; draws the initial weights, then all that training needs.
        camera_dropout: the share of images that ε_ψ(∅) is trained on; at zero it is never
            trained, so that λ > 0 would follow noise.
        steps_per_update: ψ-steps a batch, each with fresh noise levels, noise and dropped cameras.
        draw_levels: noise levels in training; `uniform_timesteps` if None.
        rows_per_call, train_rows: images that the U-Net gets at once, without and with
            gradients; all of them if zero. The fewer, the less memory; results stay the same.
        gradient_checkpointing: training keeps less in memory and takes a forward pass more.
        ranks: processes that train together, a share of every batch each.

        Raises UserError for a U-Net that is conditioned on classes.
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
            self.adapter = Adapter(denoiser.unet, rank)
            width = denoiser.unet.time_embedding.linear_2.out_features
            self._embed = CameraEmbedding(width).to(denoiser.unet.device)
        if gradient_checkpointing:
            denoiser.unet.enable_gradient_checkpointing()
        embedding = {f"camera.{name}": each for name, each in self._embed.named_parameters()}
        self.parameters = self.adapter.parameters | embedding
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
        """ε_ψ(∅) where `uncond`, else ε_ψ(c)."""
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
        """Take `steps_per_update` training steps; returns the mean of their losses.

        The loss is the mean squared error of what the network predicts. It may be infinite or NaN;
        the caller is to look at it.
        """
        x_0 = x_0.detach().float()
        losses = [self.train_step(x_0, views.cameras) for _ in range(self._steps_per_update)]
        return {"lora_loss": torch.stack(losses).mean()}

    def train_step(self, x_0: Float[Tensor, "B C h w"], cameras: Cameras) -> Float[Tensor, ""]:
        """One step of adapter and camera embedding; returns its loss."""
        n, generator, device = len(x_0), self._generator, x_0.device
        log_snr = to_device(self._draw_levels(n, generator), device)
        eps = to_device(torch.randn(x_0.shape, generator=generator), device)
        dropped = to_device(torch.rand(n, generator=generator) < self._camera_dropout, device)
        x_t = add_noise(x_0, eps, log_snr)
        target = training_target(x_0, eps, log_snr, self.denoiser.prediction_type)
        mine = self._ranks.share(n)
        x_t, log_snr, target = x_t[mine], log_snr[mine], target[mine]
        cameras, dropped = cameras[mine], dropped[mine]
        squares = x_0.new_zeros(())
        with self.adapter.enabled():  # around the backward pass too: it may run layers again
            for rows in chunks(len(x_t), self._train_rows):
                predicted = self.denoiser.predict(
                    x_t[rows], log_snr[rows], *self.conditioning(cameras[rows], dropped[rows])
                )
                loss = (predicted - target[rows]).square().sum()
                loss.backward()
                squares += loss.detach()
        self._ranks.sum_gradients(self.parameters.values())
        self._descend(x_0.numel())
        return self._ranks.sum(squares) / x_0.numel()

    def conditioning(
        self, cameras: Cameras, uncond: Bool[Tensor, " R"]
    ) -> tuple[TextEmbeddings, Float[Tensor, "R E"]]:
        """U-Net conditioning: text embeddings, and the camera embedding, null where `uncond`."""
        return self._prompt.expand(len(cameras)), self._embed(cameras, uncond)

    def _descend(self, values: int) -> None:
        """A step along the gradient of the mean over `values`, from that of the sum.

        In float16, the mean's own would have underflowed on its way through the U-Net. The sum's
        would grow with the number and size of images, and AdamW takes long steps when it grows.
        """
        gradients = [each.grad for each in self.parameters.values() if each.grad is not None]
        torch._foreach_div_(gradients, values)  # one instruction to a GPU instead of 261
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Tensor]:
        """Adapter, camera embedding, the optimiser's moments, and where the generator stands."""
        state = {name: each.detach().clone() for name, each in self.parameters.items()}
        for name, parameter in self.parameters.items():
            for moment, value in self._optimizer.state[parameter].items():
                state[f"optimizer.{moment}.{name}"] = value.clone()
        return state | {"generator": self._generator.get_state()}

    @torch.no_grad()
    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Take back what `state_dict` gave, from whatever device."""
        self._optimizer.state.clear()
        for name, parameter in self.parameters.items():
            parameter.copy_(state[name])
            moments = {
                moment: state[f"optimizer.{moment}.{name}"].clone()
                for moment in ("step", "exp_avg", "exp_avg_sq")
                if f"optimizer.{moment}.{name}" in state
            }
            if moments:
                moments["step"] = moments["step"].cpu()  # where AdamW wants it
                self._optimizer.state[parameter] = moments
        self._generator.set_state(state["generator"].cpu())


def check_same_schedule(own: NoiseSchedule, priors: NoiseSchedule) -> None:
    """Raise UserError where a U-Net of ψ's own was trained at other noise levels than the prior.

    ψ is asked at the prior's levels, where it can only be right if it was trained there.
    """
    if len(own) == len(priors):
        apart = float((own.log_snr.cpu() - priors.log_snr.cpu()).abs().max())
        if apart <= SAME_LOG_SNR:
            return
    raise UserError(
        "the model for variational=lora was trained at other noise levels than the prior: "
        f"{_described(own)}, the prior {_described(priors)}. Take one with the prior's schedule "
        "(Stable Diffusion 2.1 has that of 2.1-base), or let both share the prior's U-Net."
    )


def _described(schedule: NoiseSchedule) -> str:
    first, last = float(schedule.log_snr[0]), float(schedule.log_snr[-1])
    return f"{len(schedule)} steps from log SNR {first:.2f} to {last:.2f}"


@contextmanager
def _seeded_by(generator: torch.Generator) -> Iterator[None]:
    """Initial weights, which torch and peft draw from the global generator, come from this one."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        yield
