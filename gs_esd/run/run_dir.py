"""Run directories: their names, and the configuration that is stored in them.

The name has the values that a user varies, so that the same command finds its run again and the
runs of a sweep have different directories. `.hydra/` has the configuration that the run was started
with; Hydra itself would overwrite it before the program could compare.
"""

import hashlib
import os
import re
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from gs_esd.errors import UserError
from gs_esd.system.atomic import atomic_write

IRRELEVANT = (
    *("hardware", "memory", "vram"),
    *("view", "tracking", "preview_every_s", "checkpoint_every_s", "snapshot_every_s"),
)
"""Keys that do not say what is made: a run may go on with other values of them."""

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
    objective = f"lam{lambda_esd}" if guidance == "esd" else guidance
    name = "-".join([objective, f"seed{seed}", *_other_values(overrides)])
    return name if len(name) <= 120 else f"{name[:113]}-{_digest(name)}"


def _other_values(overrides: Sequence[str]) -> list[str]:
    """The values on the command line that are named nowhere else, in an order of their own."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    values = {override.key_or_group: override.value() for override in parsed}
    return [
        f"{key}={value if type(value) in (int, float) else slug(str(value), 24)}"
        for key, value in sorted(values.items())
        if key not in _NAMED_ANYWAY and key.partition(".")[0] not in IRRELEVANT
    ]


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

        there, asked = record.read_text(encoding="utf-8"), OmegaConf.to_yaml(settings)
        check_same_config(_plain(there), _plain(asked), ignore=IRRELEVANT)


def _plain(yaml: str) -> dict[str, Any]:
    plain = OmegaConf.to_container(OmegaConf.create(yaml))
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]
