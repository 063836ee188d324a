"""How an option is declared: its bounds and its effect stand beside its default.

    steps: int = option(700, low=1, high=1e7)
    elevation_min_deg: float = option(0.0, low=-89, high=89, at_most="elevation_max_deg")
    view: bool = option(False, changes_result=False)

Validation, run names and resuming read them. A number must have bounds. A field annotated `str`
is free text, which the command line quotes, so that Hydra takes it as it is.
"""

from collections.abc import Mapping
from dataclasses import Field, dataclass, field
from math import inf
from types import MappingProxyType
from typing import Any, TypeVar

T = TypeVar("T")
_KEY = "option"


@dataclass(frozen=True)
class Option:
    """What is declared of an option besides its type and its default.

    Attributes:
        low, high: Bounds of a number, both included.
        at_least, at_most: Another option that this one must not be below, or above: a name in the
            same dataclass, or a dotted key of `Config`. Not checked where that option is absent.
        rises: In a stage: must not be lower than in the stage before.
        changes_result: Whether the result depends on it. If not, a run may be resumed with another
            value, and run directories are not named after it.
        presets: A folder in conf/ whose files set this group of options, by name.
    """

    low: float = -inf
    high: float = inf
    at_least: str = ""
    at_most: str = ""
    rises: bool = False
    changes_result: bool = True
    presets: str = ""

    @property
    def has_bounds(self) -> bool:
        """Whether `low` and `high` are given."""
        return -inf < self.low and self.high < inf


def option(default: T, **attributes: Any) -> T:
    """A dataclass field with a default, and with the attributes of `Option`."""
    return field(default=default, metadata=about(**attributes))


def about(**attributes: Any) -> Mapping[str, Option]:
    """The metadata of a dataclass field that has no default, or a default factory."""
    return MappingProxyType({_KEY: Option(**attributes)})


def option_of(entry: "Field[Any]") -> Option:
    """What was declared of a dataclass field; the defaults of `Option` where nothing was."""
    found = entry.metadata.get(_KEY, Option())
    assert isinstance(found, Option)
    return found
