"""Splats for tests of files, and decoders of the formats by their descriptions.

Decoded splats are in the axes of the file. Nothing of gs_esd.export is used to decode.
"""

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import ParameterDict

from gs_esd.splats.parameters import SH_Y0, init_ball

WORLD_FROM_FILE = {
    # x = -forward, y = right, z = -down
    "y-down": torch.tensor([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]]),
    "z-up": torch.eye(3),
    # x = front, y = right, z = up
    "y-up": torch.tensor([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]]),
}


def colorful_splats(n: int, sh_degree: int, seed: int = 0) -> ParameterDict:
    generator = torch.Generator().manual_seed(seed)
    splats = init_ball(n, radius=0.8, opacity=0.5, sh_degree=sh_degree, generator=generator)
    for name in ("shN", "scales", "opacities"):
        noise = torch.randn(splats[name].shape, generator=generator)
        splats[name].data += 0.5 * noise
    return splats


def raw_table(path: Path, n: int) -> Tensor:
    """The numbers of our .ply, after the header."""
    body = path.read_bytes().split(b"end_header\n", 1)[1]
    return torch.frombuffer(bytearray(body), dtype=torch.float32).reshape(n, -1)


def raw_splats(path: Path, n: int, sh_degree: int) -> ParameterDict:
    """Our .ply."""
    rest = (sh_degree + 1) ** 2 - 1
    sizes = [3, 3, 3, 3 * rest, 1, 3, 4]
    means, _, sh0, f_rest, opacities, scales, quats = raw_table(path, n).split(sizes, dim=1)
    return ParameterDict(
        {
            "means": means,
            "quats": quats,
            "scales": scales,
            "opacities": opacities[:, 0],
            "sh0": sh0[:, None],
            "shN": f_rest.reshape(n, 3, rest).transpose(1, 2),
        }
    )


def decode_splat(path: Path) -> ParameterDict:
    """antimatter15's .splat."""
    rows = np.frombuffer(
        path.read_bytes(),
        [("mean", "<f4", 3), ("size", "<f4", 3), ("rgba", "u1", 4), ("quat", "u1", 4)],
    )
    rgba = _tensor(rows["rgba"]) / 255
    return _splats(
        means=_tensor(rows["mean"]),
        quats=_tensor(rows["quat"]) / 128 - 1,
        sizes=_tensor(rows["size"]),
        opacities=rgba[:, 3],
        sh0=(rgba[:, :3] - 0.5) / SH_Y0,
    )


def decode_compressed_ply(path: Path) -> ParameterDict:
    """PlayCanvas' .compressed.ply."""
    header, body = path.read_bytes().split(b"end_header\n", 1)
    counts = {}
    for line in header.decode("ascii").splitlines():
        if line.startswith("element "):
            counts[line.split()[1]] = int(line.split()[2])
    n, chunks = counts["vertex"], counts["chunk"]
    bounds = np.frombuffer(body, "<f4", 18 * chunks).reshape(chunks, 3, 2, 3)
    bounds = bounds.repeat(256, axis=0)[:n]  # [N, mean or scale or colour, low or high, 3]
    words = np.frombuffer(body, "<u4", 4 * n, 72 * chunks).reshape(n, 4)
    mean, scale = (_within(bounds[:, i], _bits(words[:, 2 * i], 11, 10, 11)) for i in (0, 1))
    color = _bits(words[:, 3], 8, 8, 8, 8)
    rest = np.frombuffer(body, "u1", -1, 72 * chunks + 16 * n).reshape(n, -1)
    assert ("sh" in counts) == (rest.size > 0)
    sh = (_tensor(rest).reshape(n, 3, -1).transpose(1, 2) + 0.5) / 32 - 4
    return _splats(
        means=_tensor(mean),
        quats=_tensor(_quats(words[:, 1])),
        sizes=_tensor(scale).exp(),
        opacities=_tensor(color[:, 3]),
        sh0=(_tensor(_within(bounds[:, 2], color[:, :3])) - 0.5) / SH_Y0,
        sh=sh,
    )


def decode_glb(path: Path) -> tuple[ParameterDict, dict[str, Any]]:
    """glTF with KHR_gaussian_splatting, and its JSON part."""
    content = path.read_bytes()
    magic, version, length = struct.unpack_from("<4sII", content)
    assert (magic, version, length) == (b"glTF", 2, len(content))
    size, kind = struct.unpack_from("<I4s", content, 12)
    assert kind == b"JSON"
    assert size % 4 == 0
    described = json.loads(content[20 : 20 + size])
    rest, kind = struct.unpack_from("<I4s", content, 20 + size)
    assert kind == b"BIN\0"
    assert rest == len(content) - 28 - size
    (splat,) = described["meshes"][0]["primitives"]
    arrays = {
        name.removeprefix("KHR_gaussian_splatting:"): _accessor(described, index, content[-rest:])
        for name, index in splat["attributes"].items()
    }
    names = [name for name in arrays if name.startswith("SH_") and "_0_COEF" not in name]
    n = len(arrays["POSITION"])
    splats = _splats(
        means=arrays["POSITION"],
        quats=arrays["ROTATION"][:, [3, 0, 1, 2]],
        sizes=arrays["SCALE"],
        opacities=arrays["OPACITY"][:, 0],
        sh0=arrays["SH_DEGREE_0_COEF_0"],
        sh=torch.stack([arrays[name] for name in sorted(names)], 1) if names else None,
    )
    assert arrays["COLOR_0"].shape == (n, 4)
    return splats, described


def _accessor(described: dict[str, Any], index: int, buffer: bytes) -> Tensor:
    accessor = described["accessors"][index]
    view = described["bufferViews"][accessor["bufferView"]]
    kind = {5126: "<f4", 5123: "<u2", 5121: "u1"}[accessor["componentType"]]
    width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[accessor["type"]]
    count = accessor["count"] * width
    assert view["byteLength"] == count * int(kind[-1])
    array = np.frombuffer(buffer, kind, count, view["byteOffset"]).reshape(-1, width)
    return _tensor(array) / (np.iinfo(kind).max if accessor.get("normalized") else 1)


def _splats(
    means: Tensor,
    quats: Tensor,
    sizes: Tensor,
    opacities: Tensor,
    sh0: Tensor,
    sh: Tensor | None = None,
) -> ParameterDict:
    return ParameterDict(
        {
            "means": means,
            "quats": quats,
            "scales": sizes.log(),
            "opacities": opacities.logit(),
            "sh0": sh0[:, None],
            "shN": torch.zeros(len(means), 0, 3) if sh is None else sh,
        }
    )


def _tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(array.astype(np.float32))


def _bits(words: np.ndarray, *widths: int) -> np.ndarray:
    """Fields of a word, the highest first, each as a fraction of its largest value."""
    shifts = [sum(widths[i + 1 :]) for i in range(len(widths))]
    fields = [(words >> s & (2**w - 1)) / (2**w - 1) for s, w in zip(shifts, widths, strict=True)]
    return np.stack(fields, axis=1)


def _within(bounds: np.ndarray, fractions: np.ndarray) -> np.ndarray:
    return bounds[:, 0] * (1 - fractions) + bounds[:, 1] * fractions


def _quats(words: np.ndarray) -> np.ndarray:
    """wxyz of 2 bits for the largest component and 10 for each of the others, in ±1/√2."""
    others = (_bits(words, 2, 10, 10, 10)[:, 1:] - 0.5) * np.sqrt(2)
    largest = np.sqrt(np.clip(1 - (others**2).sum(axis=1), 0, None))
    quats = [
        np.insert(row, position, value)
        for row, position, value in zip(others, words >> 30, largest, strict=True)
    ]
    return np.stack(quats)
