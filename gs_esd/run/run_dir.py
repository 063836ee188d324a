"""Run directories: their names, and the configuration that is stored in them.

The name has the values that a user varies, so that the same command finds its run again and the
runs of a sweep have different directories. `.hydra/` has the configuration that the run was started
with; Hydra itself would overwrite it before the program could compare.
"""

import hashlib
import os
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from gs_esd.config.kinds import is_default, is_within, keys_without_effect, uses_lambda
from gs_esd.config.renamed import RENAMED_CHOICES, RENAMED_KEYS, renamed
from gs_esd.errors import UserError
from gs_esd.run.records import flat
from gs_esd.system.atomic import atomic_write

_NAMED_ANYWAY = ("prompt", "prior", "guidance", "lambda_esd", "seed", "experiment")
_RESULTS = ("checkpoints/last.pt", "metrics.json", "splats.ply")
_DEFAULT_PRIOR = "toyzoo"


def slug(text: str, limit: int = 40) -> str:
    """Convert free text to a folder name of [a-z0-9-], not empty, at most `limit` characters.

    If more than capitals and spaces is lost, a digest of the text keeps names distinct.
    """
    lowered = text.lower().split()
    plain = unicodedata.normalize("NFKD", " ".join(lowered)).encode("ascii", "ignore").decode()
    name = re.sub("[^a-z0-9]+", "-", plain).strip("-")
    if name and name == "-".join(lowered) and len(name) <= limit:
        return name
    return f"{(name or 'text')[: limit - 7].rstrip('-')}-{_digest(' '.join(lowered))}"


def subject(prompt: str, prior: str) -> str:
    """The folder of all runs of one prompt and one prior."""
    return slug(prompt) if prior == _DEFAULT_PRIOR else f"{slug(prompt)}-{prior}"


def run_name(guidance: str, lambda_esd: float, seed: int, overrides: Sequence[str]) -> str:
    """The folder of one run: objective, seed and whatever else the command line sets."""
    return _name_of(guidance, lambda_esd, seed, _other_values(overrides))


def run_subdir(
    sweep_dir: str,
    prompt: str,
    prior: str,
    guidance: str,
    lambda_esd: float,
    seed: int,
    overrides: Sequence[str],
) -> str:
    """Where a run is below the folder of all runs, as conf/hydra/default.yaml has it.

    That is `subject` and `run_name`, unless a run of the last version is there under the name that
    it got by today's values in their old spelling.
    """
    parent, today = subject(prompt, prior), run_name(guidance, lambda_esd, seed, overrides)
    old = _name_of(guidance, lambda_esd, seed, _as_before(_other_values(overrides)))
    places = [Path(sweep_dir, parent, name).is_dir() for name in (today, old)]
    return f"{parent}/{old if places == [False, True] else today}"


def _name_of(guidance: str, lambda_esd: float, seed: int, values: Mapping[str, Any]) -> str:
    objective = f"lam{lambda_esd}" if uses_lambda(guidance) else guidance
    others = [
        f"{key}={value if type(value) in (int, float) else slug(str(value), 24)}"
        for key, value in sorted(values.items())
    ]
    name = "-".join([objective, f"seed{seed}", *others])
    return name if len(name) <= 120 else f"{name[:113]}-{_digest(name)}"


def _other_values(overrides: Sequence[str]) -> dict[str, Any]:
    """The values on the command line that are named nowhere else and change the result."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    values = {override.key_or_group: override.value() for override in parsed}
    without_effect = keys_without_effect()
    return {
        key: value
        for key, value in values.items()
        if key not in _NAMED_ANYWAY and not is_within(key, without_effect)
    }


def _as_before(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values by the keys, and with the choices, of the last version."""
    choices = {(group, new): old for (group, old), new in RENAMED_CHOICES.items()}
    return {_old_key(key): choices.get((key, str(value)), value) for key, value in values.items()}


def _old_key(key: str) -> str:
    """The reverse of `renamed`."""
    found = [(new, old) for old, new in RENAMED_KEYS.items() if is_within(key, (new,))]
    new, old = max(found, key=lambda pair: len(pair[0]), default=("", ""))
    return old + key.removeprefix(new)


def chdir(folder: Path) -> None:
    """Change to the folder in which the command was given, so that its relative paths are valid.

    Workers of a sweep may have been started elsewhere.

    Raises:
        UserError: the folder does not exist on this machine, or cannot be entered.
    """
    try:
        os.chdir(folder)
    except OSError as error:
        raise UserError(
            f"the command was given in {folder}, which cannot be entered on this machine: "
            f"{error.strerror}. Share that folder with every machine that has runs."
        ) from error


def prepare_run_dir(run_dir: Path, settings: DictConfig, overrides: Sequence[str]) -> None:
    """Write `.hydra/` for a new run; for one that is resumed, check that settings are the same.

    Args:
        run_dir: the run directory; created if need be.
        settings: the composed configuration.
        overrides: the command's `key=value` arguments.

    Raises:
        UserError: the directory has a run with other settings.
    """
    record = run_dir / ".hydra" / "config.yaml"
    if not any((run_dir / name).exists() for name in _RESULTS):
        record.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(record) as partial:
            partial.write_text(OmegaConf.to_yaml(settings), encoding="utf-8")
        with atomic_write(record.with_name("overrides.yaml")) as partial:
            OmegaConf.save(list(overrides), partial)
    elif record.exists():
        # Only here: it imports torch, which the run now needs anyway.
        from gs_esd.run.checkpoint import check_same_config

        now = _flat(OmegaConf.to_yaml(settings))
        saved = _flat(record.read_text(encoding="utf-8"))
        # An option that is newer than the run has no effect at its default.
        new = {key: value for key, value in now.items() if key not in saved}
        saved |= {key: value for key, value in new.items() if is_default(key, value)}
        check_same_config(saved, now, ignore=keys_without_effect())


def _flat(yaml: str) -> dict[str, Any]:
    """A configuration by dotted keys, those of the last version under today's names."""
    plain = OmegaConf.to_container(OmegaConf.create(yaml))
    assert isinstance(plain, dict)
    entries = flat({str(key): value for key, value in plain.items()})
    return {renamed(key): value for key, value in entries.items()}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]
