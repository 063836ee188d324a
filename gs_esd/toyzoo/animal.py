"""Animals for the tracer: ellipsoids packed into arrays and scaled to the unit ball.

Notation
    P   parts (ellipsoids) of the animal
    Q   patches of paint on all its parts
    q   a point of the unit sphere: q = A (p − c) for a surface point p of the part with centre c
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from gs_esd.toyzoo.animals.catalogue import ANIMALS
from gs_esd.toyzoo.appearance import individual_appearance
from gs_esd.toyzoo.primitives import Ellipsoid, rotation_matrix
from gs_esd.toyzoo.prompt import ZooSubject


class Animal(NamedTuple):
    """An animal in the unit ball, packed for the tracer (a tuple, so that numba takes it whole).

    unit_from_world: the matrices A, whose rows are the axes of a part over its radii.
    first_patch: part i owns the patches first_patch[i] … first_patch[i + 1] − 1.
    patches: centre and semi-axes in q, and colour; later patches cover earlier ones.
    light: unit direction towards the light, fixed to the world.
    """

    centers: Float[np.ndarray, "P 3"]
    unit_from_world: Float[np.ndarray, "P 3 3"]
    colors: Float[np.ndarray, "P 3"]
    first_patch: Int[np.ndarray, " P+1"]
    patches: Float[np.ndarray, "Q 9"]
    light: Float[np.ndarray, " 3"]


def build_animal(subject: ZooSubject, individual: int = 0) -> Animal:
    """Build the animal of a prompt; `individual` 0 is canonical, any other number varies it."""
    appearance = individual_appearance(individual, subject.color)
    return pack(ANIMALS[subject.animal](appearance), np.array(appearance.light))


def pack(parts: list[Ellipsoid], light: Float[np.ndarray, " 3"]) -> Animal:
    """Pack parts into arrays and normalise them.

    The centre of the axis-aligned bounding box goes to the origin, and the farthest point of the
    surface to radius 1.
    """
    centers = np.array([part.center for part in parts], dtype=np.float64)
    stretches = np.stack([rotation_matrix(part.rotation) * part.radii for part in parts])
    middle, scale = _unit_ball(centers, stretches)
    patches = [(*patch.at, *patch.size, *patch.color) for part in parts for patch in part.patches]
    return Animal(
        centers=(centers - middle) / scale,
        unit_from_world=np.linalg.inv(stretches / scale),
        colors=np.array([part.color for part in parts], dtype=np.float64),
        first_patch=np.cumsum([0] + [len(part.patches) for part in parts]),
        patches=np.array(patches, dtype=np.float64).reshape(-1, 9),
        light=light,
    )


def _unit_ball(
    centers: Float[np.ndarray, "P 3"], stretches: Float[np.ndarray, "P 3 3"]
) -> tuple[Float[np.ndarray, " 3"], float]:
    """Centre of the bounding box, and distance from it to the farthest surface point."""
    extent = np.linalg.norm(stretches, axis=2)  # [P, 3], half the box of each part
    middle = 0.5 * ((centers - extent).min(axis=0) + (centers + extent).max(axis=0))
    return middle, farthest_radius(centers - middle, stretches)


def farthest_radius(
    centers: Float[np.ndarray, "P 3"], stretches: Float[np.ndarray, "P 3 3"]
) -> float:
    """Largest ‖c + S u‖ over parts and unit vectors u.

    The norm is convex in u, so u ← normalise(Sᵀ(c + S u)) climbs to a local maximum; starting from
    the corners of a cube in every octant finds the global one.
    """
    corners = np.stack(np.meshgrid(*[[-1.0, 1.0]] * 3), axis=-1).reshape(-1, 3)
    u = np.broadcast_to(corners / np.sqrt(3), (len(centers), 8, 3))
    for _ in range(200):
        points = centers[:, None] + u @ stretches.transpose(0, 2, 1)  # [P, 8, 3]
        u = points @ stretches
        u = u / np.linalg.norm(u, axis=-1, keepdims=True)
    return float(np.linalg.norm(points, axis=-1).max())
