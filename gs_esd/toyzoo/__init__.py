"""The toy zoo: procedural animals, ray traced, as a closed-form stand-in for an image prior.

Understanding a prompt needs no torch; the names that do are imported when first asked for.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gs_esd.toyzoo.animals import ANIMALS
from gs_esd.toyzoo.prompt import UnknownAnimalError, ZooSubject, parse_prompt

if TYPE_CHECKING:
    from gs_esd.toyzoo.animal import Animal, build_animal
    from gs_esd.toyzoo.bank import draw_bank, sample_bank_cameras
    from gs_esd.toyzoo.tracer import trace

__all__ = [
    "ANIMALS",
    "Animal",
    "UnknownAnimalError",
    "ZooSubject",
    "build_animal",
    "draw_bank",
    "parse_prompt",
    "sample_bank_cameras",
    "trace",
]

_LAZY = {
    "Animal": "gs_esd.toyzoo.animal",
    "build_animal": "gs_esd.toyzoo.animal",
    "draw_bank": "gs_esd.toyzoo.bank",
    "sample_bank_cameras": "gs_esd.toyzoo.bank",
    "trace": "gs_esd.toyzoo.tracer",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
