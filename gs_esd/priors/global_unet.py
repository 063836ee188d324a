"""A U-Net of diffusers with a path past its convolutions: the denoiser of the bundled model.

In much noise a view is recognised only by all of the image at once, and what is predicted is a mean
of few images. That is a long way round for the convolutions of a small U-Net, which know positions
by the zeros around an image alone. A multilayer perceptron on the principal components of whole
images learns in minutes what they did not in hours: see gs_esd/toyzoo/tiny_prior/README.md.

Notation
    R           rows of a batch
    C, h, w     shape of a latent; D = C h w
    K           principal components of whole images
    L           tokens of a text
"""

from functools import wraps
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import silu

COMPONENTS = 512
"""K: the bundled model's images of all animals have 97 % of their variance in it."""
WIDTH = 704
CONDITION_WIDTH = 256
NUM_BLOCKS = 3
MIDDLE, SPREAD = 520.0, 70.0
"""The timestep at which both count alike, and over how many their weights change: of the bundled
model these give the least error on noisy images that it has not seen, over all levels together."""


class GlobalUnet(UNet2DConditionModel):
    """A `UNet2DConditionModel` whose prediction, in much noise, gives way to a `GlobalPath`'s.

    Both are denoisers of their own, and trained by themselves. Configuration and names of weights
    are those of diffusers, and what is new comes on top.
    """

    # diffusers reads the signature.
    @wraps(UNet2DConditionModel.__init__)  # type: ignore[misc]
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.global_path = GlobalPath(
            self.config.in_channels * self.config.sample_size**2,
            self.config.block_out_channels[0],
            self.config.cross_attention_dim,
        )

    def forward(
        self,
        sample: Float[Tensor, "R C h w"],
        timestep: Tensor | float,
        encoder_hidden_states: Float[Tensor, "R L E"],
        *,
        return_dict: bool = True,
        **kwargs: Any,
    ) -> UNet2DConditionOutput | tuple[Tensor]:
        """Predict as the U-Net does; arguments as for `UNet2DConditionModel`."""
        t = torch.as_tensor(timestep, device=sample.device).expand(len(sample))
        by_unet = self.predict_local(sample, t, encoder_hidden_states, **kwargs)
        by_path = self.predict_global(sample, t, encoder_hidden_states)
        weight = ((t - MIDDLE) / SPREAD).sigmoid()[:, None, None, None]
        output = by_unet.lerp(by_path, weight.to(sample.dtype))
        return UNet2DConditionOutput(sample=output) if return_dict else (output,)

    def predict_local(
        self,
        sample: Float[Tensor, "R C h w"],
        timestep: Float[Tensor, " R"] | Int[Tensor, " R"],
        text: Float[Tensor, "R L E"],
        **kwargs: Any,
    ) -> Float[Tensor, "R C h w"]:
        """The U-Net's own prediction."""
        return super().forward(sample, timestep, text, **kwargs).sample

    def predict_global(
        self,
        sample: Float[Tensor, "R C h w"],
        timestep: Float[Tensor, " R"] | Int[Tensor, " R"],
        text: Float[Tensor, "R L E"],
    ) -> Float[Tensor, "R C h w"]:
        """That of the global path."""
        return self.global_path(sample, self.time_proj(timestep).to(sample.dtype), text)


class GlobalPath(nn.Module):
    """A residual multilayer perceptron on the principal components of whole images.

    Its output is zero at initialisation. See `set_components` and `standardize` for what it needs
    to know of the images and the texts it will be trained on.
    """

    text_mean: Tensor
    text_std: Tensor

    def __init__(self, values: int, time_width: int, text_width: int) -> None:
        """Create an untrained one.

        Args:
            values: D.
            time_width: numbers of the embedding of a timestep.
            text_width: numbers of the embedding of a token.
        """
        super().__init__()
        components = min(COMPONENTS, values)
        self.down = nn.Linear(values, components, bias=False)
        self.condition = nn.Sequential(
            nn.Linear(time_width + text_width, 2 * CONDITION_WIDTH),
            nn.SiLU(),
            nn.Linear(2 * CONDITION_WIDTH, CONDITION_WIDTH),
            nn.SiLU(),
        )
        self.register_buffer("text_mean", torch.zeros(text_width))
        self.register_buffer("text_std", torch.ones(text_width))
        self.first = nn.Linear(components, WIDTH)
        self.blocks = nn.ModuleList(
            ModulatedBlock(WIDTH, CONDITION_WIDTH) for _ in range(NUM_BLOCKS)
        )
        self.last = nn.Linear(WIDTH, components)
        self.up = nn.Linear(components, values)
        for layer in (self.last, self.up):
            nn.init.zeros_(layer.bias)
        nn.init.zeros_(self.last.weight)

    @torch.no_grad()
    def set_components(self, components: Float[Tensor, "K D"]) -> None:
        """Look at an image, and paint, in an orthonormal basis; fewer than K leave the rest."""
        n = len(components)
        self.down.weight[:n] = components
        self.up.weight[:, :n] = components.T

    @torch.no_grad()
    def standardize(self, texts: Float[Tensor, "M L E"]) -> None:
        """Take the mean and the spread of texts out of every text: they differ by a part only."""
        pooled = texts.mean(1)
        self.text_mean.copy_(pooled.mean(0))
        self.text_std.copy_(pooled.std(0))

    def forward(
        self,
        sample: Float[Tensor, "R C h w"],
        time: Float[Tensor, "R T"],
        text: Float[Tensor, "R L E"],
    ) -> Float[Tensor, "R C h w"]:
        """Predict v.

        Args:
            sample: noisy latents.
            time: the embedding of each row's timestep.
            text: the embedding of each row's tokens.
        """
        pooled = (text.mean(1) - self.text_mean) / self.text_std
        condition = self.condition(torch.cat([time, pooled], dim=1))
        hidden = self.first(self.down(sample.flatten(1)))
        for block in self.blocks:
            hidden = block(hidden, condition)
        predicted: Tensor = self.up(self.last(hidden))
        return predicted.view_as(sample)


class ModulatedBlock(nn.Module):
    """A residual block that a condition scales and shifts (FiLM, arXiv 1709.07871)."""

    def __init__(self, width: int, condition_width: int) -> None:
        """width: of what it maps to itself."""
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.modulation = nn.Linear(condition_width, 2 * width)
        self.inner = nn.Linear(width, width)
        self.outer = nn.Linear(width, width)

    def forward(
        self, hidden: Float[Tensor, "R W"], condition: Float[Tensor, "R c"]
    ) -> Float[Tensor, "R W"]:
        """The input plus a function of it."""
        scale, shift = self.modulation(condition).chunk(2, dim=1)
        modulated = self.norm(hidden) * (1 + scale) + shift
        return hidden + self.outer(silu(self.inner(modulated)))
