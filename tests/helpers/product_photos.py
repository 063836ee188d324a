"""Synthetic photographs of a toy zoo's animal on a turntable, over the backdrops people have."""

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from gs_esd.cameras.orbit import orbit_cameras
from gs_esd.toyzoo.animal import build_animal
from gs_esd.toyzoo.prompt import parse_prompt
from gs_esd.toyzoo.tracer import trace

WIDTH, HEIGHT = 400, 300
"""Pixels of a photograph."""
VIEWS = 12

Pixels = NDArray[np.float32]
"""[H, W, channels], in [0, 1]."""


@cache
def animals(
    prompt: str = "a corgi",
    views: int = VIEWS,
    elevation_deg: float = 15.0,
    fov_deg: float = 25.0,
) -> Pixels:
    """Premultiplied RGBA [V, H, W, 4] of an animal from evenly around, off the middle."""
    fov = math.radians(fov_deg)
    azimuth = torch.arange(views) * (2 * math.pi / views)
    cameras = orbit_cameras(
        azimuth,
        torch.full_like(azimuth, math.radians(elevation_deg)),
        distance=1.05 / math.sin(0.5 * fov),
        fov=fov,
        resolution=220,
    )
    rgba = trace(build_animal(parse_prompt(prompt)), cameras).numpy()
    canvas = np.zeros((views, HEIGHT, WIDTH, 4), np.float32)
    canvas[:, 45:265, 110:330] = rgba
    return canvas


@cache
def mugs(inside: tuple[int, int, int] | None = None, views: int = 4) -> Pixels:
    """Premultiplied RGBA [V, H, W, 4] of a white mug with an open handle and dark letters.

    One letter is black and within it, and one purple and at its edge.

    Args:
        inside: colour of what the handle encloses, of 255; None where one looks through.
        views: number of photographs.
    """
    cells = []
    for i in range(views):
        image = Image.new("RGBA", (4 * WIDTH, 4 * HEIGHT))
        draw = ImageDraw.Draw(image)
        ink, paint = (10, 10, 12, 255), (225, 222, 215, 255)
        enclosed = None if inside is None else (*inside, 255)
        draw.ellipse((180, 340, 620, 860), enclosed, paint, width=80 - 8 * i)
        draw.rounded_rectangle((500, 220, 1080, 1000), 60, fill=paint)
        draw.rectangle((1000, 420 + 10 * i, 1084, 580), fill=(30, 12, 34, 255))
        draw.rectangle((700, 500, 820, 700 + 20 * i), fill=ink)
        small = np.asarray(image.convert("RGBa").resize((WIDTH, HEIGHT), Image.Resampling.BOX))
        cells.append(small.astype(np.float32) / 255)
    return np.stack(cells)


def woven(level: float, texture: float = 0.012, seed: int = 0) -> Callable[[int], Pixels]:
    """A cloth whose brightness varies finely."""

    def backdrop(i: int) -> Pixels:
        grain = np.random.default_rng([seed, i]).normal(size=(HEIGHT, WIDTH)).astype(np.float32)
        grain = cv2.GaussianBlur(grain, (0, 0), 2.0)
        return plain(level) + (texture / grain.std() * grain)[..., None]

    return backdrop


def plain(level: float | tuple[float, float, float]) -> Pixels:
    """A backdrop of one colour."""
    return np.broadcast_to(np.float32(level), (HEIGHT, WIDTH, 3)).copy()


def gradient(top: float, bottom: float) -> Pixels:
    """A sweep that darkens from top to bottom."""
    return np.linspace(top, bottom, HEIGHT, dtype=np.float32)[:, None, None] * plain(1.0)


def vignette(level: float, loss: float) -> Pixels:
    """A backdrop that is darker by a fraction in the corners."""
    y, x = np.mgrid[-1 : 1 : HEIGHT * 1j, -1 : 1 : WIDTH * 1j].astype(np.float32)
    return plain(level) * (1 - loss * (x**2 + y**2) / 2)[..., None]


def clutter(seed: int = 0) -> Pixels:
    """A room: patches of many colours."""
    coarse = np.random.default_rng(seed).random((6, 8, 3)).astype(np.float32)
    return np.asarray(cv2.resize(coarse, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST))


def with_shadow(photo: Pixels, alpha: Pixels, strength: float) -> Pixels:
    """A soft shadow around the animal's feet that reaches down to the photograph's edge."""
    rows, columns = np.nonzero(alpha > 0.5)
    shadow = np.zeros((HEIGHT, WIDTH), np.float32)
    centre, foot = int(columns.mean()), int(rows.max())
    cv2.ellipse(shadow, (centre, foot), (70, 18), 0, 0, 360, 1.0, -1)
    shadow[foot:, centre - 25 : centre + 25] = 1.0
    shadow = cv2.GaussianBlur(shadow, (0, 0), 12)
    return photo * (1 - strength * shadow[..., None] * (1 - alpha[..., None]))


def with_watermark(photo: Pixels) -> Pixels:
    """Letters in a corner."""
    letters = Image.new("L", (WIDTH, HEIGHT))
    ImageDraw.Draw(letters).text((300, 12), "(c) SHOP", fill=255, font_size=20)
    opacity = np.asarray(letters, np.float32)[..., None] / 255
    return photo * (1 - opacity) + 0.5 * opacity


def photographs(
    backdrop: Callable[[int], Pixels] | Pixels,
    *,
    noise: float = 0.0,
    shadow: float = 0.0,
    watermark: bool = False,
    rgba: Pixels | None = None,
) -> list[Image.Image]:
    """Photographs of the animals over a backdrop.

    Args:
        backdrop: one for all, or one for each number.
        noise: standard deviation of a sensor's noise.
        shadow: fraction of light that a contact shadow takes.
        watermark: whether there are letters in a corner.
        rgba: of `animals`.
    """
    generator = np.random.default_rng(0)
    photos = []
    for i, animal in enumerate(animals() if rgba is None else rgba):
        ground = backdrop(i) if callable(backdrop) else backdrop
        ground = with_shadow(ground, animal[..., 3], shadow) if shadow else ground
        photo = animal[..., :3] + (1 - animal[..., 3:]) * ground
        photo = with_watermark(photo) if watermark else photo
        photo = photo + generator.normal(0, noise, photo.shape) if noise else photo
        photos.append(Image.fromarray((255 * photo.clip(0, 1)).round().astype(np.uint8)))
    return photos


def save_all(photos: list[Image.Image], folder: Path, suffix: str = ".png") -> None:
    """Write photographs as 000.png, 001.png and so on."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, photo in enumerate(photos):
        photo.save(folder / f"{i:03}{suffix}", quality=85)


def overlap(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """Intersection over union."""
    return float((mask & truth).sum() / (mask | truth).sum())
