"""Saves and restores checkpoints; a resumed run continues exactly, on a CPU bit for bit.

A checkpoint is one dictionary of tensors and plain Python values, so that loading an untrusted file
executes no code. States come from `splats_state`, `generator_states` and `state_dict` methods, and
are restored in place.
"""

import os
import zipfile
from collections import OrderedDict
from collections.abc import Collection, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter, ParameterDict
from torch.optim import Optimizer

from gs_esd.config.renamed import renamed
from gs_esd.errors import UserError
from gs_esd.splats.particle import Particle
from gs_esd.system.atomic import atomic_write

VERSION = 2
"""Incremented whenever older checkpoints can no longer be resumed exactly."""

RENAMED_STATES = {"cloud": "splats", "rendered": "variational", "kappas": "view_kls"}
"""Keys of a checkpoint of the previous release -> today's, of the same content."""

ABSENT = "absent"


def save_checkpoint(path: str | os.PathLike[str], state: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically: on failure, `path` keeps the previous one.

    Args:
        path: the file to create or replace.
        state: tensors and plain Python values, nested in dictionaries, lists and tuples.

    Raises:
        TypeError: the state has a value that `load_checkpoint` could not read.
        UserError: the folder is not writable, or the disk is full.
    """
    content = {"version": VERSION, "state": dict(state)}
    _check_plain(content["state"], "state")
    # Opened here: torch itself would report a full disk as a RuntimeError, not as an OSError.
    with atomic_write(path) as partial, open(partial, "wb") as file:
        torch.save(content, file)


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the state that `save_checkpoint` wrote, with all tensors on the CPU.

    Checkpoints of the previous release are read too, under today's keys.

    Raises:
        UserError: the file is missing, damaged or of another version.
    """
    remedy = "Delete it to restart this run, or choose another folder: hydra.sweep.dir=FOLDER"
    if not Path(path).is_file():
        raise UserError(f"there is no checkpoint {path}.")
    try:
        # torch does not verify checksums: it would load damaged numbers without an error.
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        content = torch.load(path, map_location="cpu", weights_only=True)
        version, state = content["version"], content["state"]
    except Exception as error:  # damaged files raise anything in zipfile, pickle and torch
        raise UserError(f"the checkpoint {path} cannot be read ({error}). {remedy}") from error
    if damaged is not None:
        raise UserError(f"the checkpoint {path} is damaged (at {damaged}). {remedy}")
    if version != VERSION:
        raise UserError(
            f"the checkpoint {path} has version {version}, this program writes {VERSION}. {remedy}"
        )
    return _todays_keys(state)


def _todays_keys(state: Mapping[str, Any]) -> dict[str, Any]:
    """The state of a run of the previous release, which had one particle, under today's keys."""
    renamed_state = {RENAMED_STATES.get(key, key): value for key, value in state.items()}
    if "splats" in renamed_state:
        only = {name: renamed_state.pop(name) for name in ("splats", "densifier")}
        renamed_state["particles"] = [only]
    return renamed_state


def splats_state(splats: ParameterDict, optimizers: Mapping[str, Optimizer]) -> dict[str, Any]:
    """The parameters of the splats and the state of their optimisers, as copies."""
    return {
        "parameters": {name: parameter.detach().clone() for name, parameter in splats.items()},
        "optimizers": {name: deepcopy(opt.state_dict()) for name, opt in optimizers.items()},
    }


def restore_splats(
    splats: ParameterDict, optimizers: Mapping[str, Optimizer], saved: Mapping[str, Any]
) -> None:
    """Restore splats and their optimisers, in place, from `splats_state`.

    The number of Gaussians may differ: every parameter is replaced, on its current device, and
    assigned to the optimiser of its name (one parameter each, as in gsplat's strategies).
    """
    for name, value in saved["parameters"].items():
        splats[name] = Parameter(value.to(splats[name].device, copy=True))
    for name, state in saved["optimizers"].items():
        optimizer = optimizers[name]
        optimizer.state.clear()
        optimizer.param_groups[0]["params"] = [splats[name]]
        optimizer.load_state_dict(deepcopy(state))  # which does not copy tensors itself


def particle_state(particle: Particle) -> dict[str, Any]:
    """The splats of a particle, their optimisers and their densifier, as copies."""
    return {
        "splats": splats_state(particle.splats, particle.optimizers),
        "densifier": particle.densifier.state_dict(),
    }


def restore_particle(particle: Particle, saved: Mapping[str, Any]) -> None:
    """Restore a particle, in place, from `particle_state`."""
    restore_splats(particle.splats, particle.optimizers, saved["splats"])
    particle.densifier.load_state_dict(saved["densifier"])


def generator_states(generators: Mapping[str, torch.Generator]) -> dict[str, Tensor]:
    """The state of each random generator."""
    return {name: generator.get_state() for name, generator in generators.items()}


def restore_generators(
    generators: Mapping[str, torch.Generator], saved: Mapping[str, Tensor]
) -> None:
    """Restore random generators, in place, from `generator_states`."""
    for name, state in saved.items():
        generators[name].set_state(state)


def check_same_config(
    saved: Mapping[str, Any], current: Mapping[str, Any], ignore: Collection[str] = ()
) -> None:
    """Check that a run is resumed with the configuration that it was started with.

    Args:
        saved: the nested configuration of the run directory; may have keys of earlier versions.
        current: the nested configuration of this command.
        ignore: dotted keys, or groups of them, that may differ without changing the result.

    Raises:
        UserError: they differ; names every differing key with both values.
    """
    before = {renamed(key): value for key, value in _flatten(saved).items()}
    now = _flatten(current)
    differing = [
        f"  {key}: {before.get(key, ABSENT)!r} in the checkpoint, {now.get(key, ABSENT)!r} now"
        for key in dict.fromkeys([*before, *now])
        if before.get(key, ABSENT) != now.get(key, ABSENT) and not _is_within(key, ignore)
    ]
    if differing:
        raise UserError(
            "this run directory has a run with another configuration:\n"
            + "\n".join(differing)
            + "\nChoose another one with hydra.sweep.dir=FOLDER, or delete this one."
        )


def _flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in config.items():
        key = f"{prefix}{name}"
        flat.update(_flatten(value, f"{key}.") if isinstance(value, Mapping) else {key: value})
    return flat


def _is_within(key: str, groups: Collection[str]) -> bool:
    return any(key == group or key.startswith(f"{group}.") for group in groups)


def _check_plain(value: Any, where: str) -> None:
    """Raise TypeError unless torch.load(weights_only=True) can read `value`."""
    # Exact types: subclasses (OmegaConf's dictionaries, named tuples) can be saved but not loaded.
    if type(value) in (dict, OrderedDict):
        for key, item in value.items():
            _check_plain(key, f"the keys of {where}")
            _check_plain(item, f"{where}[{key!r}]")
    elif type(value) in (list, tuple):
        for i, item in enumerate(value):
            _check_plain(item, f"{where}[{i}]")
    elif type(value) not in (Tensor, Parameter, bool, int, float, str, type(None)):
        raise TypeError(f"{where} is a {type(value).__name__}, which a checkpoint cannot store")
