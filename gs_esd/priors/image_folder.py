"""prior=images: a folder of the user's own images of one object.

Normalisation. Every image becomes square:
    height   the silhouette's bounding box in the middle, and all silhouettes equally tall: right
             where all cameras look about level
    common   the bounding box in the middle, and all images scaled by one factor, so that the
             largest silhouette fills the frame: right for a turntable
    none     neither moved nor scaled: the image is padded to a square, and fills it

Silhouettes come from the alpha channel, or else from a plain colour along the image's border:
what is of that colour and connected to the border becomes transparent. Images that have neither
stay whole.
Subfolders named front, side and back say from where their images were taken (prior.view_prompts).
"""

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from PIL import Image, ImageOps
from torch import Tensor

from gs_esd.cameras.view_names import VIEW_NAMES
from gs_esd.config.options import ImagesPriorConfig, Normalize
from gs_esd.errors import UserError
from gs_esd.priors.image_files import check_bank_fits, image_files

WORKING_SIZE = 512
"""Longer images are first shrunk to this: more is never looked at."""
HEIGHT, WIDTH = 0.7, 0.9
"""The most of the frame that a silhouette fills, down and across."""
PLAIN = 0.04
"""The largest deviation, of values in [0, 1], that a border of one plain colour shows."""
SOFT = 0.08
"""The distance from the border's colour at which a pixel counts as the object's."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Matte:
    """An image with its alpha, and whether the alpha tells object from background."""

    rgba: Image.Image
    remove_background: bool


def load_images(
    config: ImagesPriorConfig, resolution: int
) -> tuple[Float[Tensor, "M 4 H W"], Int[Tensor, " M"] | None]:
    """All images below a folder, and the views they are of.

    The images are premultiplied RGBA in [0, 1]. The views, indices into VIEW_NAMES, are None
    unless prior.view_prompts asks for them.
    Raises UserError for a folder without two images, for files that are no images, for
    images in which nothing is to be seen, and for views that no image shows.
    """
    files = image_files(Path(config.path))
    labels = view_labels(files) if config.view_prompts else None
    check_bank_fits(len(files), resolution, "Use fewer images")
    mattes = [remove_background(read_image(file)) for file in files]
    whole = [file for file, matte in zip(files, mattes, strict=True) if not matte.remove_background]
    if whole:
        log.warning(
            f"{len(whole)} of {len(files)} images have neither alpha nor a border of one colour "
            f"(the first: {whole[0].name}): their background stays in, and the splat will build "
            "it too. Cut the object out first, e.g. with rembg."
        )
    boxes = [silhouette_box(matte.rgba, file) for matte, file in zip(mattes, files, strict=True)]
    if config.normalize == Normalize.none:
        boxes = [(0, 0, *matte.rgba.size) for matte in mattes]
    sides = frame_sides(boxes, config.normalize)
    images = [
        framed(matte.rgba, box, side, resolution)
        for matte, box, side in zip(mattes, boxes, sides, strict=True)
    ]
    return torch.stack(images), labels


def read_image(file: Path) -> Image.Image:
    """An upright RGBA image. Raises UserError where the file is damaged or no image."""
    try:
        with Image.open(file) as image:
            image.draft("RGB", (WORKING_SIZE, WORKING_SIZE))  # large JPEGs: read less of them
            upright = ImageOps.exif_transpose(eight_bit(image)).convert("RGBA")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{file} cannot be read ({error}). Mend it or take it away.") from error
    upright.thumbnail((WORKING_SIZE, WORKING_SIZE), Image.Resampling.LANCZOS)
    return upright


def eight_bit(image: Image.Image) -> Image.Image:
    """A grey image of 16 bits with 8, as all others have; Pillow would clip it."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


def remove_background(image: Image.Image) -> Matte:
    """Take the alpha channel if it says anything, else remove the colour of a plain border."""
    rgba = torch.from_numpy(np.array(image)).float() / 255  # [H, W, 4]
    if rgba[..., 3].amin() < 0.98:
        return Matte(image, True)
    rgb = rgba[..., :3]
    border = torch.cat([rgb[0], rgb[-1], rgb[:, 0], rgb[:, -1]])
    color = border.median(0).values
    if (border - color).abs().amax(-1).quantile(0.95) > PLAIN:
        return Matte(image, False)
    distance = (rgb - color).abs().amax(-1)
    outside = connected_to_border(distance < SOFT)
    rgba[..., 3] = torch.where(outside, 0.0, 1.0)
    return Matte(Image.fromarray((255 * rgba).round().to(torch.uint8).numpy()), True)


def connected_to_border(mask: Bool[Tensor, "H W"]) -> Bool[Tensor, "H W"]:
    """The part of a mask from which the border can be reached within it, not across corners."""
    reached = torch.zeros_like(mask)
    reached[[0, -1]], reached[:, [0, -1]] = mask[[0, -1]], mask[:, [0, -1]]
    while True:
        grown = filled_runs(filled_runs(reached, mask).T, mask.T).T
        if torch.equal(grown, reached):
            return reached
        reached = grown


def filled_runs(reached: Bool[Tensor, "H W"], mask: Bool[Tensor, "H W"]) -> Bool[Tensor, "H W"]:
    """Every run of a mask along a row of which some pixel is reached."""
    height, width = mask.shape
    # A number for each run: how many pixels off the mask come before it, and which row it is in.
    runs = (~mask).long().cumsum(dim=1) + (width + 1) * torch.arange(height)[:, None]
    hit = torch.zeros(height * (width + 1), dtype=torch.bool)
    hit[runs[reached]] = True
    return mask & hit[runs]


def silhouette_box(image: Image.Image, file: Path) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of what is opaque. Raises UserError where nothing is."""
    box = image.getchannel("A").point(lambda alpha: 255 * (alpha >= 128)).getbbox()
    if box is None:
        raise UserError(f"{file} shows nothing: it is transparent or of one colour. Take it away.")
    return box


def frame_sides(boxes: list[tuple[int, int, int, int]], normalize: Normalize) -> list[float]:
    """The side in pixels of the square about each box that becomes an image."""
    widths = np.array([right - left for left, _, right, _ in boxes])
    heights = np.array([bottom - top for _, top, _, bottom in boxes])
    match normalize:
        case Normalize.height:
            fill = min(HEIGHT, WIDTH * float((heights / widths).min()))
            return (heights / fill).tolist()
        case Normalize.common:
            return [max(float(heights.max()) / HEIGHT, float(widths.max()) / WIDTH)] * len(boxes)
        case Normalize.none:
            return np.maximum(widths, heights).astype(float).tolist()


def framed(
    image: Image.Image, box: tuple[int, int, int, int], side: float, resolution: int
) -> Float[Tensor, "4 H W"]:
    """The square of a side about a box's centre, premultiplied, `resolution` pixels a side."""
    left, top, right, bottom = box
    x, y = 0.5 * (left + right - side), 0.5 * (top + bottom - side)
    premultiplied = image.convert("RGBa")
    whole = premultiplied.crop((round(x), round(y), round(x + side), round(y + side)))
    # Neither filter overshoots, so that no colour exceeds its alpha.
    smooth = Image.Resampling.BOX if side >= resolution else Image.Resampling.BILINEAR
    square = whole.resize((resolution, resolution), smooth)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).float() / 255


def view_labels(files: list[Path]) -> Int[Tensor, " M"]:
    """Which view each file is of, by the folder that it lies in.

    Raises UserError for a file in another folder, and for a view without an image.
    """
    names = [file.parent.name.lower() for file in files]
    missing = [name for name in VIEW_NAMES if name not in names]
    strays = [file for file, name in zip(files, names, strict=True) if name not in VIEW_NAMES]
    if missing or strays:
        raise UserError(
            f"prior.view_prompts=true takes images in the subfolders {', '.join(VIEW_NAMES)}; "
            + (f"without images: {', '.join(missing)}" if missing else f"elsewhere: {strays[0]}")
        )
    return torch.tensor([VIEW_NAMES.index(name) for name in names])
