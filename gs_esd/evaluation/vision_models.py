"""What CLIP and image classifiers share: preparing images, and loading whole weights.

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
    """Resize (bicubic, antialiased), crop the centre and normalise images for a model.

    This is transformers' CLIPImageProcessor without rounding to bytes before and after resizing.
    Models trained with another resizing filter get this one too.

    Args:
        images: RGB in [0, 1].
        preprocessing: The model's sizes, means and standard deviations.
    """
    channels = images.permute(0, 3, 1, 2)
    shorter = min(channels.shape[2:])
    sides = [int(preprocessing.edge * side / shorter) for side in channels.shape[2:]]
    # Bicubic overshoots; in training, bytes kept images in [0, 1].
    resized = interpolate(channels, sides, mode="bicubic", antialias=True).clamp(0, 1)
    top, left = ((side - preprocessing.size) // 2 for side in sides)
    middle = resized[..., top : top + preprocessing.size, left : left + preprocessing.size]
    mean, std = (
        middle.new_tensor(values)[:, None, None]
        for values in (preprocessing.mean, preprocessing.std)
    )
    return (middle - mean) / std


def load_whole(model: Any, files: VisionFiles) -> Any:
    """Load a model of transformers from a folder, frozen, in float32.

    Args:
        model: The class in transformers.
        files: Where the weights are.

    Raises:
        UserError: weights are missing, which transformers would replace by random ones.
    """
    from transformers.utils import logging

    logging.disable_progress_bar()  # it takes a second or two
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
