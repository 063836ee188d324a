"""ε-prediction by a network: the `Denoiser` protocol, and U-Nets of diffusers.

Notation (see also gs_esd/diffusion/process.py)
    R           rows of a batch, each with its own noise level and text embedding
"""

from typing import Protocol, runtime_checkable

from diffusers import UNet2DConditionModel
from jaxtyping import Float
from torch import Tensor

from gs_esd.diffusion.parameterization import PREDICTION_TYPES, to_eps
from gs_esd.diffusion.schedule import NoiseSchedule
from gs_esd.priors.text import TextEmbeddings


@runtime_checkable
class Denoiser(Protocol):
    """ε-prediction of a text-conditioned network, without guidance.

    Attributes:
        schedule: noise levels the network was trained at.
    """

    schedule: NoiseSchedule

    def __call__(
        self, x_t: Float[Tensor, "R C h w"], log_snr: Float[Tensor, " R"], text: TextEmbeddings
    ) -> Float[Tensor, "R C h w"]:
        """Predict ε of x_t in float32, with a noise level and a text embedding for each row."""
        ...


class UnetDenoiser:
    """ε-prediction by a U-Net of diffusers with any of PREDICTION_TYPES.

    Attributes:
        unet: the network.
        schedule: noise levels it was trained at.
        prediction_type: what it predicts.
    """

    def __init__(
        self, unet: UNet2DConditionModel, schedule: NoiseSchedule, prediction_type: str
    ) -> None:
        """Wrap a network, which runs on its device in its dtype.

        Raises:
            ValueError: the prediction type is none of PREDICTION_TYPES.
        """
        if prediction_type not in PREDICTION_TYPES:
            raise ValueError(f"prediction_type={prediction_type} is none of {PREDICTION_TYPES}")
        self.unet = unet
        self.schedule = schedule
        self.prediction_type = prediction_type

    def __call__(
        self,
        x_t: Float[Tensor, "R C h w"],
        log_snr: Float[Tensor, " R"],
        text: TextEmbeddings,
    ) -> Float[Tensor, "R C h w"]:
        """Predict ε of x_t in float32; arguments as for `predict`."""
        predicted = self.predict(x_t, log_snr, text)
        return to_eps(predicted, x_t, log_snr, self.prediction_type)

    def predict(
        self,
        x_t: Float[Tensor, "R C h w"],
        log_snr: Float[Tensor, " R"],
        text: TextEmbeddings,
    ) -> Float[Tensor, "R C h w"]:
        """Output of the network in float32: ε, v or x_0, according to `prediction_type`.

        Args:
            x_t: noisy images or latents.
            log_snr: noise level of each row.
            text: text embedding of each row.
        """
        dtype = self.unet.conv_in.weight.dtype
        output = self.unet(
            x_t.to(dtype),
            self.schedule.log_snr_to_t(log_snr),
            encoder_hidden_states=text.tokens.to(dtype),
        ).sample
        # Models with a learned variance (DeepFloyd IF) have it in the second half of the channels.
        return output[:, : x_t.shape[1]].float()


def chunks(rows: int, chunk_size: int) -> list[slice]:
    """Split `rows` into slices of at most `chunk_size` rows; a single slice if that is 0."""
    step = chunk_size or max(rows, 1)
    return [slice(start, start + step) for start in range(0, rows, step)]
