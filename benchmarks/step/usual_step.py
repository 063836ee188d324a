"""A step the usual way, to compare with: as threestudio's guidance for VSD makes it.

Written anew from what threestudio's `stable-diffusion-vsd-guidance` does: a call of the U-Net for φ
with both prompts, one for ψ with and without its camera, and one with gradients to train ψ, all in
the weights' half precision. The gradient reaches the latents through autograd, as that of a squared
error. Both branches of ψ are computed at every λ. As there (at commit 0113b37, with
prolificdreamer.yaml), networks are called without autocast, which would compute normalisations in
float32 and be slower. Faster than there, the adapter is switched off for φ rather than scaled by
zero, and convolutions have their weights in the layout that this package gives them.
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import mse_loss

from gs_esd.build.components import Components
from gs_esd.cameras.views import Views
from gs_esd.diffusion.parameterization import training_target
from gs_esd.guidance.noisy_views import NoisyViews, noise_views
from gs_esd.guidance.weighting import one_minus_alpha_bar
from gs_esd.priors.diffusion_model import DiffusionModelPrior
from gs_esd.variational.base import NeededPredictions
from gs_esd.variational.lora import CameraLoraScore

DROPOUT = 0.1
"""The share of steps at which ψ is trained without cameras."""


class UsualStep:
    """A step of distillation and of q's training the usual way, on the networks of our steps."""

    def __init__(self, components: Components, lambda_esd: float) -> None:
        """Take a U-Net as p and a LoRA on it as q from `components`; with its own optimiser."""
        assert isinstance(components.prior, DiffusionModelPrior)
        assert isinstance(components.variational, CameraLoraScore)
        self.prior, self.variational = components.prior, components.variational
        self.lambda_esd = lambda_esd
        self.generator = torch.Generator().manual_seed(0)
        self.parameters = [each for each in self.variational.parameters.values()]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-4, betas=(0.9, 0.99))
        self.device = components.device

    def __call__(self, images: Float[Tensor, "B H W 3"], views: Views) -> None:
        """Compute the gradient on the images, and make a training step of ψ."""
        latents = self.prior.encode(images)
        noisy = self._noisy(latents.detach(), views)
        gradient = self.gradient(noisy)
        target = (latents - gradient).detach()
        loss = 0.5 * mse_loss(latents.float(), target.float(), reduction="sum") / len(latents)
        with self.variational.adapter.enabled():  # needed for its gradients
            (loss + self._lora_loss(latents.detach(), views)).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    @torch.no_grad()
    def gradient(self, noisy: NoisyViews) -> Float[Tensor, "B C h w"]:
        """ω(t) (ε_φ - λ ε_ψ(∅) - (1 - λ) ε_ψ(c)), by a call for φ and a call for ψ."""
        n = len(noisy.x_t)
        x_t, log_snr = noisy.x_t.repeat(2, 1, 1, 1), noisy.log_snr.repeat(2)
        text = self.prior.text_rows(n, noisy.views)
        eps_phi = self.prior.guided(self.prior.denoiser(x_t, log_snr, text), noisy.views)
        psi = self.variational
        rows = psi.network_rows(noisy.views, NeededPredictions(True, True))
        with psi.adapter.enabled(), psi.conditioned(rows.conditions):
            eps_psi = psi.denoiser(x_t, log_snr, psi.prompt.expand(2 * n))
        eps_uncond, eps_cond = eps_psi.chunk(2)
        source = eps_cond + self.lambda_esd * (eps_uncond - eps_cond)
        return one_minus_alpha_bar(noisy.log_snr)[:, None, None, None] * (eps_phi - source)

    def _lora_loss(self, latents: Float[Tensor, "B C h w"], views: Views) -> Float[Tensor, ""]:
        noisy = self._noisy(latents, views)
        dropped = float(torch.rand((), generator=self.generator)) < DROPOUT
        psi = self.variational
        kind = psi.denoiser.prediction_type
        rows = psi.network_rows(views, NeededPredictions(dropped, not dropped))
        with psi.conditioned(rows.conditions):
            text = psi.prompt.expand(len(latents))
            predicted = psi.denoiser.predict(noisy.x_t, noisy.log_snr, text)
            target = training_target(latents, noisy.eps, noisy.log_snr, kind)
            return mse_loss(predicted, target)

    def _noisy(self, latents: Float[Tensor, "B C h w"], views: Views) -> NoisyViews:
        t = torch.rand(len(latents), generator=self.generator) * 0.96 + 0.02
        log_snr = self.prior.schedule.t_to_log_snr(t).to(self.device)
        eps = torch.randn(latents.shape, generator=self.generator).to(self.device)
        return noise_views(latents.float(), views, log_snr, eps, progress=0.5)
