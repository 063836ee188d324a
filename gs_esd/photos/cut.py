"""How the object is cut out: one decision for the whole folder, never some cut and some whole.

alpha   more than half of the photographs have an alpha channel in use: it is taken, and the
        others are cut as below, or refused
plain   the background is plain: gs_esd/photos/matte.py
rembg   any other background, if rembg is installed
whole   else backgrounds stay, in all photographs, with a warning
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

import numpy as np
from jaxtyping import Float
from PIL import Image

from gs_esd.config.commands import install_command
from gs_esd.photos.background import PlainBackground, find_background
from gs_esd.photos.matte import cut_out
from gs_esd.photos.surface import border
from gs_esd.photos.survey import Survey, is_alpha_in_use, refuse

log = logging.getLogger(__name__)

CutFn = Callable[[Image.Image], Image.Image]
"""A photograph as RGBA with straight alpha, without its background."""


@dataclass(frozen=True)
class Cut:
    """How the photographs of a folder are cut out."""

    cut: CutFn
    has_silhouettes: bool
    """Whether backgrounds are gone."""
    reason: str
    """What was decided and why, in words."""


def choose_cut(found: Survey, sample: list[Image.Image]) -> Cut:
    """Decide how all photographs are cut out.

    Args:
        found: the folder's survey.
        sample: some photographs without alpha in use.

    Raises:
        UserError: most photographs have alpha, and the others cannot be cut out.
    """
    n, n_alpha = len(found.names), sum(found.has_alpha)
    trusts_alpha = 2 * n_alpha > n
    if n_alpha == n:
        return Cut(_as_rgba, True, "every photograph has an alpha channel")
    background = find_background(sample)
    cut, reason = _choose_opaque_cut(background)
    if cut is None and trusts_alpha:
        _refuse_without_alpha(found)
    if cut is None:
        log.warning(_whole_message(n))
    cut = cut or _as_rgba
    if trusts_alpha:
        return Cut(
            _alpha_or(cut), True, f"{n_alpha} of {n} have an alpha channel; of others {reason}"
        )
    return Cut(_over(_border_color(sample), cut), cut is not _as_rgba, reason)


def _choose_opaque_cut(background: PlainBackground | None) -> tuple[CutFn | None, str]:
    if background is not None:
        color = ", ".join(f"{channel:.2f}" for channel in background.color)
        shade = ", with a gradient" if background.surface.any() else ""
        return partial(cut_out, background=background), (
            f"the background is plain (RGB {color}{shade}; foreground from a difference of "
            f"{background.threshold:.3f} on)"
        )
    if find_spec("rembg") is not None:
        from gs_esd.photos.rembg_cut import RembgCut

        return RembgCut(), "the background is not plain: rembg removes it"
    return None, "the background is not plain, and stays"


def _as_rgba(image: Image.Image) -> Image.Image:
    return image.convert("RGBA")


def _alpha_or(cut: CutFn) -> CutFn:
    return lambda image: image if is_alpha_in_use(image) else cut(image)


def _over(color: Float[np.ndarray, "3"], cut: CutFn) -> CutFn:
    """Treat the few photographs with alpha as the others: over the background's colour."""
    ground = tuple(round(255 * float(channel)) for channel in color)

    def over(image: Image.Image) -> Image.Image:
        if is_alpha_in_use(image):
            whole = Image.new("RGBA", image.size, (*ground, 255))
            image = Image.alpha_composite(whole, image).convert("RGB")
        return cut(image)

    return over


def _border_color(images: list[Image.Image]) -> Float[np.ndarray, "3"]:
    medians = [np.median(border(np.asarray(image.convert("RGB"))), axis=0) for image in images]
    return np.median(medians, axis=0) / 255


def _refuse_without_alpha(found: Survey) -> None:
    remedy = f"remove it first, e.g. with rembg, or {install_command('photos')}"
    refuse(
        {
            name: f"it has no alpha channel, unlike most, and its background is not plain: {remedy}"
            for name, has_alpha in zip(found.names, found.has_alpha, strict=True)
            if not has_alpha
        }
    )


def _whole_message(n: int) -> str:
    return (
        f"the {n} photographs have neither alpha nor a plain background: backgrounds stay, and "
        "will be part of the splats. Remove them first, e.g. with rembg, which does it by itself "
        f"once it is installed: {install_command('photos')}"
    )
