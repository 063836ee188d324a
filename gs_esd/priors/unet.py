"""ε by a network that was trained to predict it, or something that it follows from.

Notation (see also gs_esd/diffusion/process.py)
    R           rows of a batch, each with its own noise level and text
    eps         the noise in x_t = alpha x_0 + sigma eps
"""

from typing import Protocol, runtime_checkable

from diffusers import UNet2DConditionModel
from jaxtyping import Float
from torch import Tensor

from gs_esd.diffusion.parameterization import PREDICTION_TYPES, to_eps
from gs_esd.diffusion.schedule import NoiseSchedule
from gs_esd.priors.text_embeddings import TextEmbeddings


@runtime_checkable
class Denoiser(Protocol):
    """A network that tells the noise in an image, given a text; nothing guides it yet."""

    schedule: NoiseSchedule

    def __call__(
        self, x_t: Float[Tensor, "R C h w"], log_snr: Float[Tensor, " R"], text: TextEmbeddings
    ) -> Float[Tensor, "R C h w"]:
        """ε in x_t, a noise level and a text a row; float32 whatever the network computes in."""
        ...


class UnetDenoiser:
    """ε of a variance-preserving noisy image by a diffusers U-Net, whatever it predicts."""

    def __init__(
        self, unet: UNet2DConditionModel, schedule: NoiseSchedule, prediction_type: str
    ) -> None:
        """Take the network; it stays where it is, in the dtype it has.

        schedule: the levels it was trained at, by its timesteps.
        prediction_type: one of PREDICTION_TYPES.

        Raises ValueError for any other.
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
        class_labels: Float[Tensor, "R E"] | None = None,
    ) -> Float[Tensor, "R C h w"]:
        """ε in x_t, a noise level and a text a row; see `predict`."""
        predicted = self.predict(x_t, log_snr, text, class_labels)
        return to_eps(predicted, x_t, log_snr, self.prediction_type)

    def predict(
        self,
        x_t: Float[Tensor, "R C h w"],
        log_snr: Float[Tensor, " R"],
        text: TextEmbeddings,
        class_labels: Float[Tensor, "R E"] | None = None,
    ) -> Float[Tensor, "R C h w"]:
        """What the network predicts, in float32, whichever of PREDICTION_TYPES it is.

        class_labels: what a U-Net with a class embedding adds to its time embedding; zeros if None.
            With an `nn.Identity` as the class embedding, zeros change no bit of the output.
        """
        unet, dtype = self.unet, self.unet.conv_in.weight.dtype
        if unet.class_embedding is not None:
            if class_labels is None:
                class_labels = x_t.new_zeros(len(x_t), unet.time_embedding.linear_2.out_features)
            class_labels = class_labels.to(dtype)
        output = unet(
            x_t.to(dtype),
            self.schedule.log_snr_to_t(log_snr),
            encoder_hidden_states=text.tokens.to(dtype),
            class_labels=class_labels,
        ).sample
        # Models that also learned a variance (IF) have it in the second half of their channels.
        return output[:, : x_t.shape[1]].float()


def chunks(rows: int, at_once: int) -> list[slice]:
    """Slices that cover a number of rows, `at_once` each but the last; one slice if that is 0."""
    step = at_once or rows
    return [slice(start, start + step) for start in range(0, rows, step)]
