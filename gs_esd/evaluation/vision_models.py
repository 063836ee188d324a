"""What CLIP and image classifiers have in common: how they are shown images, and whole weights.

Notation
    V           images
    S           pixels a side of the images that a model takes
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import interpolate

from gs_esd.errors import UserError
from gs_esd.priors.hub.vision import Preprocessing, VisionFiles


def prepare(
    images: Float[Tensor, "V H W 3"], preprocessing: Preprocessing
) -> Float[Tensor, "V 3 S S"]:
    """Images in [0, 1] as a model learned them: bicubic with antialias, the middle, normalised.

    It is transformers' CLIPImageProcessor without the rounding to bytes before and after resizing.
    Models that were shown images resized in another way get them in this way too.
    """
    channels = images.permute(0, 3, 1, 2)
    shorter = min(channels.shape[2:])
    sides = [int(preprocessing.edge * side / shorter) for side in channels.shape[2:]]
    # Bicubic weights are negative in places; bytes could not leave [0, 1] when it learned.
    resized = interpolate(channels, sides, mode="bicubic", antialias=True).clamp(0, 1)
    top, left = ((side - preprocessing.size) // 2 for side in sides)
    middle = resized[..., top : top + preprocessing.size, left : left + preprocessing.size]
    mean, std = (
        middle.new_tensor(values)[:, None, None]
        for values in (preprocessing.mean, preprocessing.std)
    )
    return (middle - mean) / std


def load_whole(model: Any, files: VisionFiles) -> Any:
    """The model in a folder, frozen, in float32.

    model: transformers' class of it. Raises UserError for weights that are not all there, which
    transformers would fill up with random ones.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()  # a bar for next to no time
    loaded, loading = model.from_pretrained(
        files.folder,
        variant=files.variant,
        use_safetensors=True,
        local_files_only=True,
        dtype=torch.float32,
        output_loading_info=True,
    )
    if missing := sorted(loading["missing_keys"]):
        raise UserError(
            f"the weights in {files.folder} are not those of a whole model: {len(missing)} tensors "
            f"are missing, {missing[0]} for one. Download it again, or use another model"
        )
    return loaded.requires_grad_(False).eval()
