"""Subfolders front, side and back label the views of their images (prior.view_prompts)."""

from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from gs_esd.cameras.view_names import VIEW_NAMES
from gs_esd.errors import UserError


def view_labels(names: tuple[str, ...]) -> Int[Tensor, " M"]:
    """Index into VIEW_NAMES of each photograph, by the name of its folder.

    Args:
        names: of the files, relative to the folder of all.

    Raises:
        UserError: a file is in another folder, or a view has no image.
    """
    views = [Path(name).parent.name.lower() for name in names]
    missing = [view for view in VIEW_NAMES if view not in views]
    strays = [name for name, view in zip(names, views, strict=True) if view not in VIEW_NAMES]
    if missing or strays:
        raise UserError(
            f"prior.view_prompts=true needs images in the subfolders {', '.join(VIEW_NAMES)}; "
            + (
                f"without images: {', '.join(missing)}"
                if missing
                else f"in another folder: {strays[0]}"
            )
        )
    return torch.tensor([VIEW_NAMES.index(view) for view in views])
