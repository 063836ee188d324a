"""The first look at all photographs: which cannot be used, and what decides about their matte."""

import hashlib
import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image

from gs_esd.errors import UserError
from gs_esd.photos.files import chosen_evenly
from gs_esd.photos.read import PhotoCache, UnreadablePhotoError

OPAQUE_ALPHA = 0.98
"""An alpha channel above this everywhere is not in use."""
SAMPLE_PHOTOS = 40
"""Photographs without alpha on which the background is measured."""
PROGRESS_S = 4.0
"""Seconds between lines of progress."""
MAX_LISTED = 20
"""Files that a message names one by one."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Survey:
    """What the decisions about a folder need of its photographs."""

    names: tuple[str, ...]
    has_alpha: list[bool]
    """Whether the alpha channel is in use."""
    copies: list[str]
    """Names of the photographs that equal an earlier one pixel by pixel."""


def survey(names: tuple[str, ...], photos: PhotoCache) -> Survey:
    """Read all photographs once.

    Raises:
        UserError: some cannot be read; all of them are listed.
    """
    bad: dict[str, str] = {}
    found = Survey(names, [], [])
    digests: set[bytes] = set()
    for i, name in enumerate(with_progress(names, "read")):
        try:
            image = photos.get(i).image
        except UnreadablePhotoError as error:
            bad[name] = str(error)
            continue
        found.has_alpha.append(is_alpha_in_use(image))
        digest = hashlib.sha1(image.tobytes(), usedforsecurity=False).digest()
        if digest in digests:
            found.copies.append(name)
        digests.add(digest)
    refuse(bad)
    return found


def is_alpha_in_use(image: Image.Image) -> bool:
    """Whether an image has an alpha channel that is not opaque everywhere."""
    if image.mode != "RGBA":
        return False
    return bool(np.asarray(image.getchannel("A")).min() < 255 * OPAQUE_ALPHA)


def sample_without_alpha(found: Survey, photos: PhotoCache) -> list[Image.Image]:
    """Some evenly chosen photographs of which the alpha channel is not in use."""
    opaque = [i for i, has_alpha in enumerate(found.has_alpha) if not has_alpha]
    return [photos.get(opaque[i]).image for i in chosen_evenly(len(opaque), SAMPLE_PHOTOS)]


def with_progress(names: Iterable[str], verb: str) -> Iterator[str]:
    """Yield names, and log their count every few seconds."""
    names = tuple(names)
    last = time.monotonic()
    for i, name in enumerate(names):
        if time.monotonic() - last >= PROGRESS_S:
            last = time.monotonic()
            log.info(f"{i} of {len(names)} photographs {verb}")
        yield name


def refuse(bad: dict[str, str]) -> None:
    """Raise one error that lists all photographs that cannot be used.

    Raises:
        UserError: there are any.
    """
    if not bad:
        return
    listed = [f"  {name}: {reason}" for name, reason in list(bad.items())[:MAX_LISTED]]
    if len(bad) > MAX_LISTED:
        listed.append(f"  and {len(bad) - MAX_LISTED} more")
    count = "1 photograph" if len(bad) == 1 else f"{len(bad)} photographs"
    raise UserError("\n".join([f"{count} cannot be used. Fix or remove the files:", *listed]))
