"""How large the images are that a model looks at, by its settings alone. Imports no torch."""

from typing import Any

from gs_esd.errors import UserError
from gs_esd.priors.hub.files import ModelFiles
from gs_esd.priors.hub.supported import is_flow


def pixels_a_side(files: ModelFiles, wanted: int | None = None) -> int:
    """The size of images that is wanted, or else the one that the model was trained on.

    Raises UserError for a size that its denoiser cannot take.
    """
    network = files.config("transformer" if is_flow(files) else "unet")
    size = wanted or network["sample_size"] * downsampling(files)
    multiple = downsampling(files) * _multiple(network)
    if size % multiple:
        raise UserError(
            f"prior.image_size={size}: {files.folder} takes multiples of {multiple} pixels"
        )
    return size


def downsampling(files: ModelFiles) -> int:
    """Pixels a side of an image for each of its latent."""
    if "vae" not in files.components:
        return 1
    vae = files.config("vae")
    if files.components["vae"].class_name == "PatchCodec":
        return vae["patch_size"]
    return 2 ** (len(vae["block_out_channels"]) - 1)


def _multiple(network: dict[str, Any]) -> int:
    """What the size of the denoiser's images must be a multiple of."""
    if "patch_size" in network:
        return network["patch_size"]
    return 2 ** (len(network["block_out_channels"]) - 1)
