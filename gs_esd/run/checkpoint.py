"""Checkpoints from which a run goes on as if it had never stopped: on a CPU, bit for bit.

A checkpoint is one dictionary of tensors and plain Python values, so that reading one runs no code
of the file's author. What has a state gives it with `splats_state`, `generator_states` or its own
`state_dict`, and takes it back in place.
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

from gs_esd.errors import UserError
from gs_esd.system.atomic import atomic_write

VERSION = 2
"""Raised whenever an older checkpoint could not be resumed exactly."""

ABSENT = "absent"


def save_checkpoint(path: str | os.PathLike[str], state: Mapping[str, Any]) -> None:
    """Write `state`; whatever happens, `path` holds either the old checkpoint or the new one.

    Raises TypeError for values that `load_checkpoint` would refuse, UserError where the folder
    cannot be written.
    """
    content = {"version": VERSION, "state": dict(state)}
    _check_plain(content["state"], "state")
    # Opened here: torch tells a full disk as a RuntimeError, an open file as an OSError.
    with atomic_write(path) as partial, open(partial, "wb") as file:
        torch.save(content, file)


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `save_checkpoint` was given, with all tensors on the CPU.

    Raises UserError where the file is missing, damaged or of another version.
    """
    remedy = "Delete it to start this run anew, or give another place: hydra.sweep.dir=FOLDER"
    if not Path(path).is_file():
        raise UserError(f"there is no checkpoint {path}.")
    try:
        # torch does not compare check sums and would hand out damaged numbers in silence.
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        content = torch.load(path, map_location="cpu", weights_only=True)
        version, state = content["version"], content["state"]
    except Exception as error:  # a damaged file can fail anywhere in zipfile, pickle and torch
        raise UserError(f"the checkpoint {path} cannot be read ({error}). {remedy}") from error
    if damaged is not None:
        raise UserError(f"the checkpoint {path} is damaged (at {damaged}). {remedy}")
    if version != VERSION:
        raise UserError(
            f"the checkpoint {path} has version {version}, this program writes {VERSION}. {remedy}"
        )
    return state


def splats_state(splats: ParameterDict, optimizers: Mapping[str, Optimizer]) -> dict[str, Any]:
    """Parameters of splats, whose number changes over time, and the state of their optimisers."""
    return {
        "parameters": {name: parameter.detach().clone() for name, parameter in splats.items()},
        "optimizers": {name: deepcopy(opt.state_dict()) for name, opt in optimizers.items()},
    }


def restore_splats(
    splats: ParameterDict, optimizers: Mapping[str, Optimizer], saved: Mapping[str, Any]
) -> None:
    """Bring splats and its optimisers, in place, to what `splats_state` saw.

    The number of Gaussians may differ: every parameter is replaced, on its old device, and handed
    to the optimiser of its name (one parameter each, as gsplat's strategies have it).
    """
    for name, value in saved["parameters"].items():
        splats[name] = Parameter(value.to(splats[name].device, copy=True))
    for name, state in saved["optimizers"].items():
        optimizer = optimizers[name]
        optimizer.state.clear()
        optimizer.param_groups[0]["params"] = [splats[name]]
        optimizer.load_state_dict(deepcopy(state))  # it keeps the tensors it is given


def generator_states(generators: Mapping[str, torch.Generator]) -> dict[str, Tensor]:
    """Where each generator of random numbers stands."""
    return {name: generator.get_state() for name, generator in generators.items()}


def restore_generators(
    generators: Mapping[str, torch.Generator], saved: Mapping[str, Tensor]
) -> None:
    """Set each generator to where `generator_states` saw it."""
    for name, state in saved.items():
        generators[name].set_state(state)


def check_same_config(
    saved: Mapping[str, Any], current: Mapping[str, Any], ignore: Collection[str] = ()
) -> None:
    """Raise UserError with every key in which two nested configurations differ, and both values.

    ignore: dotted keys, or groups of them, that may differ without changing the outcome.
    """
    before, now = _flatten(saved), _flatten(current)
    differing = [
        f"  {key}: {before.get(key, ABSENT)!r} in the checkpoint, {now.get(key, ABSENT)!r} now"
        for key in dict.fromkeys([*before, *now])
        if before.get(key, ABSENT) != now.get(key, ABSENT) and not _is_within(key, ignore)
    ]
    if differing:
        raise UserError(
            "this folder holds a run with another configuration:\n"
            + "\n".join(differing)
            + "\nGive this run another place with hydra.sweep.dir=FOLDER, or delete the folder."
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
    """Raise TypeError unless torch.load(weights_only=True) will read `value` back."""
    # Exact types: subclasses (OmegaConf's dictionaries, named tuples) are written but not read.
    if type(value) in (dict, OrderedDict):
        for key, item in value.items():
            _check_plain(key, f"the keys of {where}")
            _check_plain(item, f"{where}[{key!r}]")
    elif type(value) in (list, tuple):
        for i, item in enumerate(value):
            _check_plain(item, f"{where}[{i}]")
    elif type(value) not in (Tensor, Parameter, bool, int, float, str, type(None)):
        raise TypeError(f"{where} is a {type(value).__name__}, which a checkpoint cannot hold")
