"""A folder of photographs, or a video, as a set of square images without background.

Photographs are decoded once or twice, one at a time, so that memory stays bounded: a survey of all
(which are damaged, what their borders are like), then silhouettes, from which the framing follows,
then the crops.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor
from torch.nn.functional import avg_pool2d

from gs_esd.config.options import Normalize
from gs_esd.photos.cut import choose_cut
from gs_esd.photos.files import ADVISED_PHOTOS, chosen_evenly, is_video, list_photos, photo_path
from gs_esd.photos.framing import Box, choose_framing
from gs_esd.photos.read import MIN_READ_PIXELS, Photo, PhotoCache, read_photo
from gs_esd.photos.survey import Survey, refuse, sample_without_alpha, survey, with_progress
from gs_esd.photos.video import read_frames

ORIGINAL_PIXELS = 1_000_000
"""Pixels a side up to which nothing is reduced."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PhotoSet:
    """Photographs of one object as square images."""

    names: tuple[str, ...]
    """Of each file, relative to the folder, in natural order; of a frame of a video, its number."""
    rgba: Float[Tensor, "M 4 R R"]
    """Premultiplied, in [0, 1]; lower resolutions by avg_pool2d."""
    framed_singly: bool
    """Every photograph was centred and scaled by itself, so that cameras need a shift and scale."""
    crops: Float[Tensor, "M 3"]
    """Left, top and side of the square in pixels of the upright original."""
    sizes: Int[Tensor, "M 2"]
    """Width and height of the upright original in pixels."""

    def at(self, resolution: int) -> "PhotoSet":
        """The same photographs at a resolution that divides theirs."""
        factor = self.rgba.shape[-1] // resolution
        return self if factor == 1 else replace(self, rgba=avg_pool2d(self.rgba, factor))


def load_photos(
    path: str,
    resolution: int,
    normalize: Normalize = Normalize.auto,
    most: int | None = None,
) -> PhotoSet:
    """Load the photographs of a folder or video as square images without background.

    What was decided about matte and framing, and why, is logged in a line each.

    Args:
        path: prior.path, a folder or a video.
        resolution: pixels a side of the result.
        normalize: prior.normalize; see gs_esd/photos/framing.py.
        most: of more photographs so many evenly chosen ones are taken.

    Raises:
        UserError: the path is none, there are fewer than two photographs, or some cannot be read
            or are empty.
    """
    names, read = _open(photo_path(path), max(MIN_READ_PIXELS, 2 * resolution), most)
    photos = PhotoCache(read)
    found = survey(names, photos)
    _warn_of_few(found)
    cut = choose_cut(found, sample_without_alpha(found, photos))
    log.info(f"matte: {cut.reason}")
    taken = PhotoCache(lambda i: _cut_photo(photos.take(i), cut.cut))
    boxes, images, sizes = _silhouettes(names, taken)
    framing = choose_framing(boxes, images, normalize, has_silhouettes=cut.has_silhouettes)
    log.info(f"framing: {framing.reason}")
    rgba = torch.empty(len(names), 4, resolution, resolution)
    for i, _ in enumerate(with_progress(names, "cropped")):
        rgba[i] = crop_and_resize(taken.take(i).image, framing.crops[i], resolution)
    crops = _original_crops(framing.crops, images, sizes)
    return PhotoSet(names, rgba, framing.framed_singly, crops, torch.tensor(sizes))


def originals(path: str) -> Callable[[str], Image.Image]:
    """What reads a photograph of `load_photos` upright and in its own size, by its name.

    Args:
        path: prior.path, a folder or a video.

    Raises:
        UserError: the path is none, or the video cannot be read.
    """
    source = photo_path(path)
    if is_video(source):
        frames = read_frames(source, ORIGINAL_PIXELS)
        return lambda name: frames[name].image
    return lambda name: read_photo(source / name, ORIGINAL_PIXELS).image


def _open(
    path: Path, pixels: int, most: int | None
) -> tuple[tuple[str, ...], Callable[[int], Photo]]:
    """Names of photographs, and what reads one by its number."""
    if is_video(path):
        frames = read_frames(path, pixels, most)
        photos = list(frames.values())
        return tuple(frames), photos.__getitem__
    files = list_photos(path)
    if most is not None and len(files) > most:
        log.warning(
            f"{len(files)} photographs are more than memory allows at this resolution: {most} "
            "evenly chosen ones are used"
        )
        files = [files[i] for i in chosen_evenly(len(files), most)]
    names = tuple(file.relative_to(path).as_posix() for file in files)
    return names, lambda i: read_photo(files[i], pixels)


def _warn_of_few(found: Survey) -> None:
    n = len(found.names)
    if n < ADVISED_PHOTOS:
        log.warning(f"{n} photographs show few sides; 36 or more from all around are advised")
    if found.copies:
        log.warning(
            f"{len(found.copies)} of {n} photographs are copies of others, pixel by pixel (the "
            f"first: {found.copies[0]}): they add no side"
        )


def _cut_photo(photo: Photo, cut: Callable[[Image.Image], Image.Image]) -> Photo:
    return Photo(cut(photo.image), photo.size)


def _silhouettes(
    names: tuple[str, ...], photos: PhotoCache
) -> tuple[list[Box], list[tuple[int, int]], list[tuple[int, int]]]:
    """Bounding boxes of the silhouettes, and sizes of the photographs as read and of the originals.

    Raises:
        UserError: some are empty; all of them are listed.
    """
    boxes, images, sizes, empty = [], [], [], {}
    for i, name in enumerate(with_progress(names, "cut out")):
        photo = photos.get(i)
        box = silhouette_box(photo.image)
        if box is None:
            empty[name] = "it is empty: transparent, or of one colour"
            continue
        boxes.append(box)
        images.append(photo.image.size)
        sizes.append(photo.size)
    refuse(empty)
    return boxes, images, sizes


def silhouette_box(image: Image.Image) -> Box | None:
    """Bounding box (left, top, right, bottom) of the pixels with alpha of at least 0.5, if any."""
    return image.getchannel("A").point(lambda alpha: 255 * (alpha >= 128)).getbbox()


def crop_and_resize(image: Image.Image, crop: Box, resolution: int) -> Float[Tensor, "4 R R"]:
    """Crop a square and resize it.

    Args:
        image: RGBA with straight alpha.
        crop: left, top, right, bottom in pixels; outside the image it is transparent.
        resolution: pixels a side of the result.

    Returns:
        Premultiplied RGBA in [0, 1].
    """
    square = image.convert("RGBa").crop(crop)
    # Neither filter overshoots, so no colour exceeds its alpha.
    shrinks = crop[2] - crop[0] >= resolution
    resample = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    resized = square.resize((resolution, resolution), resample)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1).float() / 255


def _original_crops(
    crops: list[Box], images: list[tuple[int, int]], sizes: list[tuple[int, int]]
) -> Float[Tensor, "M 3"]:
    """Left, top and side in pixels of the originals."""
    box = torch.tensor(crops, dtype=torch.float64)
    scale = torch.tensor(sizes, dtype=torch.float64) / torch.tensor(images)  # [M, 2]
    corner = box[:, :2] * scale
    side = ((box[:, 2:] - box[:, :2]) * scale).mean(dim=1, keepdim=True)
    return torch.cat([corner, side], dim=1).float()
