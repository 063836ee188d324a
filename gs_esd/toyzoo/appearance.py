"""Appearance of an individual: proportions, tint and light. Needs no torch."""

import colorsys
from dataclasses import dataclass

import numpy as np

from gs_esd.toyzoo.primitives import Vec


@dataclass(frozen=True)
class Appearance:
    """Proportions (1 is canonical), colour and light of one individual.

    color: replaces the main coat colour if given, as in "a blue cat".
    tint: change of the coat's hue (in turns, added), saturation and value (factors).
    light: unit direction towards the light, fixed to the animal.
    """

    color: Vec | None = None
    head: float = 1.0
    ears: float = 1.0
    legs: float = 1.0
    girth: float = 1.0
    tail: float = 1.0
    tint: Vec = (0.0, 1.0, 1.0)
    light: Vec = (0.485, 0.343, 0.804)

    def coat(self, usual: Vec) -> Vec:
        """Main colour of this individual, where `usual` is that of its species."""
        hue, saturation, value = colorsys.rgb_to_hsv(*(self.color or usual))
        turn, vivid, bright = self.tint
        return colorsys.hsv_to_rgb(
            (hue + turn) % 1.0, min(saturation * vivid, 1.0), min(value * bright, 1.0)
        )


def _light(azimuth: float, elevation: float) -> Vec:
    flat = np.cos(elevation)
    return float(flat * np.cos(azimuth)), float(flat * np.sin(azimuth)), float(np.sin(elevation))


def individual_appearance(individual: int, color: Vec | None) -> Appearance:
    """Appearance by number: 0 is canonical, others vary by up to a sixth.

    Args:
        individual: 0, or a positive seed.
        color: of the coat, display sRGB in [0, 1]; None for the usual one.

    Raises:
        ValueError: a negative number.
    """
    if individual == 0:
        return Appearance(color)
    if individual < 0:
        raise ValueError(f"individual must be 0 (canonical) or a positive seed, got {individual}")
    rng = np.random.default_rng(individual)
    head, ears, legs, girth, tail = np.exp(0.15 * rng.uniform(-1, 1, 5)).tolist()
    turn, vivid, bright = rng.uniform(-1, 1, 3).tolist()
    tint = (0.015 * turn, 1 + 0.12 * vivid, 1 + 0.08 * bright)
    light = _light(rng.uniform(-1.0, 1.0), rng.uniform(0.6, 1.2))
    return Appearance(color, head, ears, legs, girth, tail, tint, light)
