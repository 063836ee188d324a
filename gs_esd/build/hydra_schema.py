"""Between Hydra and the dataclasses of gs_esd/config; no other module deals with both."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import MISSING, DictConfig, MissingMandatoryValue, OmegaConf

from gs_esd.config.kinds import GROUPS
from gs_esd.config.options import Config
from gs_esd.errors import UserError
from gs_esd.run.run_dir import run_subdir


def register_schema() -> None:
    """Give Hydra the keys, their types and their defaults, so that any other key is an error."""
    whole = OmegaConf.structured(Config)
    for group in GROUPS:
        whole[group] = MISSING  # a kind chosen in conf/ must not be merged onto the default kind
    store = ConfigStore.instance()
    store.store(name="schema", node=whole)
    for group, kinds in GROUPS.items():
        for kind, node in kinds.items():
            store.store(group=f"schema/{group}", name=kind, node=node)


def to_config(settings: DictConfig) -> Config:
    """Convert what Hydra composed to the dataclasses of gs_esd/config.

    Raises:
        UserError: a value that has no default was not given, or a key was added to the schema's.
    """
    try:
        config = OmegaConf.to_object(settings)
    except MissingMandatoryValue as error:
        raise UserError(f"{error.full_key} is not given; add {error.full_key}=VALUE") from None
    assert isinstance(config, Config)
    if added := list(_added_keys(config)):
        raise UserError(f"there is no key {added[0]!r}; + cannot add one")
    return config


def _added_keys(node: Any, prefix: str = "") -> Iterator[str]:
    """Keys added with a + on the command line, which OmegaConf allows."""
    known = {entry.name for entry in fields(node)}
    for name, value in vars(node).items():
        if name not in known:
            yield prefix + name
        elif is_dataclass(value):
            yield from _added_keys(value, f"{prefix}{name}.")


# What conf/hydra/default.yaml names. On import: where a sweep's runs are made by other processes,
# these unpickle configurations with the names in them, and run no main().
OmegaConf.register_new_resolver("run_subdir", run_subdir, replace=True)
