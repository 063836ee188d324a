"""Image size of a model, from its configuration files. Imports no torch."""

from typing import Any

from gs_esd.errors import UserError
from gs_esd.priors.hub.files import ModelFiles
from gs_esd.priors.hub.supported import is_flow


def pixels_a_side(files: ModelFiles, requested: int | None = None) -> int:
    """Pixels a side of a model's images: `requested` if given, else the size of training.

    Raises:
        UserError: the denoiser cannot take this size.
    """
    network = files.config("transformer" if is_flow(files) else "unet")
    size = requested or network["sample_size"] * downsampling(files)
    multiple = downsampling(files) * _multiple(network)
    if size % multiple:
        raise UserError(
            f"prior.image_size={size}: {files.folder} needs a multiple of {multiple} pixels. Use "
            f"prior.image_size={max(multiple, size // multiple * multiple)}"
        )
    return size


def downsampling(files: ModelFiles) -> int:
    """Ratio of the sides of an image and of its latent; 1 in pixel space."""
    if "vae" not in files.components:
        return 1
    vae = files.config("vae")
    if files.components["vae"].class_name == "PatchCodec":
        return vae["patch_size"]
    return 2 ** (len(vae["block_out_channels"]) - 1)


def _multiple(network: dict[str, Any]) -> int:
    """Divisor of the side of the denoiser's input."""
    if "patch_size" in network:
        return network["patch_size"]
    return 2 ** (len(network["block_out_channels"]) - 1)
