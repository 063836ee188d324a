"""How an option is declared: what validation and run naming need to know stands beside its default.

    steps: int = option(700, low=1, high=1e7)
    elevation_min_deg: float = option(0.0, low=-89, high=89, at_most="elevation_max_deg")
    view: bool = option(False, changes_result=False)

A number must have bounds (a test looks). Text needs nothing: whatever is annotated `str` is free
text, which the command line protects from Hydra's grammar.
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
            same dataclass, or a dotted key of `Config`. Where that option is absent, nothing holds.
        rises: In a stage: must not be lower than in the stage before.
        changes_result: Whether the result depends on it. A run may go on with another value of an
            option that has False, and its directory is not named after it.
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
    """A dataclass field with a default, and what `Option` has to say of it."""
    return field(default=default, metadata=about(**attributes))


def about(**attributes: Any) -> Mapping[str, Option]:
    """The metadata of a dataclass field that has no default, or a default factory."""
    return MappingProxyType({_KEY: Option(**attributes)})


def option_of(entry: "Field[Any]") -> Option:
    """What is declared of a dataclass's field."""
    found = entry.metadata.get(_KEY, Option())
    assert isinstance(found, Option)
    return found
