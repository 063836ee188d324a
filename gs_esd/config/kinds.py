"""The kinds that a group of options can be of, and what is declared of all their options."""

from collections.abc import Iterator
from dataclasses import Field, fields, is_dataclass
from enum import Enum
from typing import Any

from gs_esd.config import options as c
from gs_esd.config import schedule
from gs_esd.config.learned import (
    DiffusersPriorConfig,
    LoraCameraVariationalConfig,
    LoraVariationalConfig,
)
from gs_esd.config.option import option_of

GROUPS: dict[str, dict[str, type]] = {
    "prior": {
        "toyzoo": c.ToyZooPriorConfig,
        "images": c.ImagesPriorConfig,
        "diffusers": DiffusersPriorConfig,
    },
    "variational": {
        "closed_form": c.ClosedFormVariationalConfig,
        "lora": LoraVariationalConfig,
        "lora_camera": LoraCameraVariationalConfig,
    },
    "guidance": {
        "sds": c.SdsConfig,
        "debiased_sds": c.DebiasedSdsConfig,
        "vsd": c.VsdConfig,
        "esd": c.EsdConfig,
    },
    "timesteps": {
        "entropic_time": schedule.EntropicTimestepsConfig,
        "uniform": schedule.UniformTimestepsConfig,
        "two_stage": schedule.TwoStageTimestepsConfig,
        "linear": schedule.LinearTimestepsConfig,
        "dreamtime": schedule.DreamtimeTimestepsConfig,
        "hifa_sqrt": schedule.HifaSqrtTimestepsConfig,
    },
    "init": {"ball": c.BallInitConfig, "ply": c.PlyInitConfig},
    "densify": {
        "none": c.NoDensifyConfig,
        "default": c.DefaultDensifyConfig,
        "mcmc": c.McmcDensifyConfig,
    },
    "background": {
        "random": c.RandomBackgroundConfig,
        "black_or_white": c.BlackOrWhiteBackgroundConfig,
        "solid": c.SolidBackgroundConfig,
    },
}
"""Which dataclass each kind of a group is; conf/GROUP/*.yaml names them as /schema/GROUP/KIND."""


def kind_of(group: str, config: Any) -> str:
    """The name of a configuration's kind, as it is given on the command line."""
    return next(kind for kind, node in GROUPS[group].items() if node is type(config))


def uses_lambda(guidance: str) -> bool:
    """Whether lambda_esd has an effect on a kind of guidance; False for an unknown one."""
    node = GROUPS["guidance"].get(guidance, c.GuidanceConfig)
    return issubclass(node, c.GuidanceConfig) and node.uses_lambda


PRESETS = tuple(option_of(entry).presets for entry in fields(c.Config) if option_of(entry).presets)
"""Folders of conf/ whose files set a group's options by a name, which may look like a number."""


def every_option() -> Iterator[tuple[str, "Field[Any]"]]:
    """The dotted key and the field of every option and every group of options.

    A key comes once for each kind that has it.
    """
    for entry in fields(c.Config):
        yield entry.name, entry
        kinds = GROUPS.get(entry.name, {}).values() or [entry.type]
        for kind in kinds:
            yield from _options_below(entry.name, kind)


def is_default(key: str, value: Any) -> bool:
    """Whether an option of this dotted key has this value when it is not given.

    Args:
        key: dotted; of several kinds with the same key, any.
        value: as a configuration file has it, where an enum is its name.
    """
    defaults = [entry.default for each, entry in every_option() if each == key]
    return value in [d.name if isinstance(d, Enum) else d for d in defaults]


def free_text_keys() -> set[str]:
    """Keys whose values may be any text."""
    return {key for key, entry in every_option() if entry.type is str}


def keys_without_effect() -> tuple[str, ...]:
    """Keys, and groups of them, with which a run makes the same result whatever their values."""
    declared = [key for key, entry in every_option() if not option_of(entry).changes_result]
    return (*dict.fromkeys(declared), *PRESETS)


def is_within(key: str, groups: tuple[str, ...]) -> bool:
    """Whether a dotted key is one of the groups or lies in one."""
    return any(key == group or key.startswith(f"{group}.") for group in groups)


def _options_below(key: str, kind: Any) -> Iterator[tuple[str, "Field[Any]"]]:
    for entry in fields(kind) if is_dataclass(kind) else ():
        yield f"{key}.{entry.name}", entry
        yield from _options_below(f"{key}.{entry.name}", entry.type)
