"""Splats in glTF by its extension KHR_gaussian_splatting, one binary .glb: `save_glb`.

Written by the text of the extension in the glTF repository of July 2026 (release candidate; it
has been ratified since): standard deviations and opacities as they are, unit quaternions xyzw,
coefficients by degree and order, and the axes of glTF. Colours are display sRGB, as in all 3DGS
files. `COLOR_0` is for programs that only draw points; there glTF requires linear light.
"""

import json
import os
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import ParameterDict

from gs_esd.export.axes import FileAxes
from gs_esd.export.frames import to_file_axes, unit_quats
from gs_esd.export.metadata import file_metadata
from gs_esd.splats.parameters import SH_Y0
from gs_esd.system.atomic import atomic_write

EXTENSION = "KHR_gaussian_splatting"
SPLAT = {
    "kernel": "ellipse",
    "colorSpace": "srgb_rec709_display",
    "projection": "perspective",
    "sortingMethod": "cameraDistance",
}
"""3DGS in the terms of the extension."""

POINTS = 0
VERTEX_ATTRIBUTES = 34962
COMPONENT_TYPES = {"float32": 5126, "uint16": 5123}
TYPES = {1: "SCALAR", 3: "VEC3", 4: "VEC4"}

Attributes = dict[str, NDArray[Any]]


def save_glb(
    splats: ParameterDict, path: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None
) -> None:
    """Write splats as glTF: one mesh of points, each a Gaussian, y up and the front along +z.

    Args:
        splats: raw parameters in world axes, on any device.
        path: file to write; an old one is replaced only when all is written.
        metadata: names and plain values such as the prompt, kept under asset.extras.

    Raises:
        UserError: the folder cannot be written.
    """
    attributes = _attributes(to_file_axes(splats, FileAxes.y_up))
    buffer = b"".join(array.tobytes() for array in attributes.values())
    description = _describe(attributes, file_metadata(metadata, FileAxes.y_up))
    text = json.dumps(description, ensure_ascii=True).encode("ascii")
    chunks = _chunk(b"JSON", text, b" ") + _chunk(b"BIN\0", buffer, b"\0")
    with atomic_write(path) as partial:
        partial.write_bytes(struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks)


def _attributes(turned: dict[str, Tensor]) -> Attributes:
    """Arrays of all Gaussians by their attribute names in the extension."""
    opacities = turned["opacities"].sigmoid()
    tensors = {
        "ROTATION": unit_quats(turned["quats"])[:, [1, 2, 3, 0]],
        "SCALE": turned["scales"].exp(),
        "OPACITY": opacities,
        "SH_DEGREE_0_COEF_0": turned["sh0"][:, 0],
    }
    sh = turned["shN"]
    for i in range(sh.shape[1]):
        degree = int((i + 1) ** 0.5)
        tensors[f"SH_DEGREE_{degree}_COEF_{i + 1 - degree**2}"] = sh[:, i]
    return {
        "POSITION": _floats(turned["means"]),
        "COLOR_0": _point_colors(turned["sh0"][:, 0], opacities),
        **{f"{EXTENSION}:{name}": _floats(tensor) for name, tensor in tensors.items()},
    }


def _floats(tensor: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(tensor.numpy(), "<f4")


def _point_colors(sh0: Tensor, opacities: Tensor) -> NDArray[np.uint16]:
    """RGBA of points, RGB decoded from sRGB (IEC 61966-2-1); 65535 is 1."""
    srgb = (0.5 + SH_Y0 * sh0.numpy()).clip(0, 1)
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    rgba = np.column_stack([linear, opacities.numpy()])
    return (65535 * rgba).round().astype("<u2")


def _describe(attributes: Attributes, metadata: dict[str, Any]) -> dict[str, Any]:
    """The JSON part: where each attribute lies in the buffer, and that together they are splats."""
    views, accessors, offset = [], [], 0
    for i, (name, array) in enumerate(attributes.items()):
        views.append(
            {"buffer": 0, "byteOffset": offset, "byteLength": array.nbytes}
            | {"target": VERTEX_ATTRIBUTES}
        )
        accessors.append(_accessor(i, name, array))
        offset += array.nbytes
    splat = {
        "attributes": {name: i for i, name in enumerate(attributes)},
        "mode": POINTS,
        "extensions": {EXTENSION: SPLAT},
    }
    return {
        "asset": {
            "version": "2.0",
            "generator": f"gs-esd {metadata['gs-esd']}",
            "extras": metadata,
        },
        "extensionsUsed": [EXTENSION],
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [splat]}],
        "buffers": [{"byteLength": offset}],
        "bufferViews": views,
        "accessors": accessors,
    }


def _accessor(view: int, name: str, array: NDArray[Any]) -> dict[str, Any]:
    accessor: dict[str, Any] = {
        "bufferView": view,
        "componentType": COMPONENT_TYPES[array.dtype.name],
        "count": len(array),
        "type": TYPES[array[0].size],
    }
    if array.dtype.name == "uint16":
        accessor["normalized"] = True
    if name == "POSITION":  # glTF requires these of positions
        accessor |= {"min": array.min(axis=0).tolist(), "max": array.max(axis=0).tolist()}
    return accessor


def _chunk(kind: bytes, content: bytes, padding: bytes) -> bytes:
    padded = content + padding * (-len(content) % 4)
    return struct.pack("<I4s", len(padded), kind) + padded
