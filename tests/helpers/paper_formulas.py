"""Formulas of the papers on the parts of a small Stable Diffusion; none of the project's modules.

Typed anew from the papers, with the timesteps, ᾱ of diffusers' scheduler, its U-Net, tokenizer and
text encoder.
"""

import torch
from torch import Tensor
from torch.func import functional_call

from tests.helpers.tiny_models import TinyPipeline, tiny_latents

PROMPT, NEGATIVE = "a blue corgi", "blurry"
T = [980, 700, 400, 20]
VIEW_NAMES = ["front", "side", "back", "overhead"]
SCALE = 7.5
X_0, EPS = tiny_latents(4, seed=5), tiny_latents(4, seed=6)


class Papers:
    """Formulas of the papers on the parts of a pipeline of diffusers."""

    def __init__(self, pipeline: TinyPipeline) -> None:
        """Take the noise levels of T from the pipeline's scheduler."""
        self.pipeline = pipeline
        alpha_bar = pipeline.scheduler.alphas_cumprod[T].double()
        self.alpha = alpha_bar.sqrt().float()[:, None, None, None]
        self.sigma = (1 - alpha_bar).sqrt().float()[:, None, None, None]
        self.x_t = self.alpha * X_0 + self.sigma * EPS

    def embed(self, texts: list[str]) -> Tensor:
        """Hidden states of the text encoder for padded prompts."""
        tokenizer, encoder = self.pipeline.tokenizer, self.pipeline.text_encoder
        length = tokenizer.model_max_length
        ids = tokenizer(texts, padding="max_length", max_length=length, return_tensors="pt")
        with torch.no_grad():
            return encoder(ids.input_ids)[0]

    def noise(
        self, texts: list[str], x_t: Tensor, weights: dict[str, Tensor] | None = None
    ) -> Tensor:
        """ε(x_t; t, y); with v-prediction ε = α v + σ x_t (arXiv 2202.00512, appendix D)."""
        predicted = self.network(texts, x_t, weights)
        if self.pipeline.scheduler.config.prediction_type == "epsilon":
            return predicted
        return self.alpha * predicted + self.sigma * x_t

    def network(
        self, texts: list[str], x_t: Tensor, weights: dict[str, Tensor] | None = None
    ) -> Tensor:
        """Output of the U-Net, some of whose weights are replaced."""
        args = (self.pipeline.unet, weights or {}, (x_t, torch.tensor(T)))
        return functional_call(*args, {"encoder_hidden_states": self.embed(texts)}).sample

    def guided(self, scale: float) -> Tensor:
        """ε̂_φ of classifier-free guidance (arXiv 2207.12598): ε(∅) + s (ε(y) - ε(∅))."""
        with torch.no_grad():
            of_prompt = self.noise([f"{PROMPT}, {view} view" for view in VIEW_NAMES], self.x_t)
            of_negative = self.noise([NEGATIVE] * 4, self.x_t)
        return of_negative + scale * (of_prompt - of_negative)

    def sds(self, scale: float) -> Tensor:
        """DreamFusion, arXiv 2209.14988, Eq. 3: w(t) (ε̂_φ(z_t; y, t) - ε), w(t) = σ_t²."""
        return self.sigma**2 * (self.guided(scale) - EPS)

    def vsd(self, of_camera: Tensor) -> Tensor:
        """ProlificDreamer, arXiv 2305.16213, Eq. 9: w(t) (ε_pretrain(x_t, t, y) - ε(x_t, t, c, y)).

        The first is the pretrained model, with a guidance scale of 7.5, the second its LoRA.
        """
        return self.sigma**2 * (self.guided(SCALE) - of_camera)

    def esd(self, lam: float, of_camera: Tensor, of_all: Tensor) -> Tensor:
        """ESD, arXiv 2401.00909, Eq. 7: the LoRA guided by the camera, with the scale 1 - λ."""
        lora = of_all + (1 - lam) * (of_camera - of_all)
        return self.sigma**2 * (self.guided(SCALE) - lora)


def with_lora(unet: torch.nn.Module, matrices: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights W + B A (arXiv 2106.09685, Eq. 3) of a U-Net's projections.

    Args:
        unet: Has W.
        matrices: A and B by the names that peft gives them.
    """
    own, weights = dict(unet.named_parameters()), {}
    for name, down in matrices.items():
        if ".lora_A" in name:
            layer = f"{name.split('.lora_A')[0]}.weight"
            weights[layer] = (
                own[layer].detach() + matrices[name.replace(".lora_A", ".lora_B")] @ down
            )
    return weights
