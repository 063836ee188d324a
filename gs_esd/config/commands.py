"""Commands that messages name: right in a checkout, and where a wheel was installed."""

import sys

from gs_esd.config.files import IS_CHECKOUT

PROGRAM = "gs-esd"
"""The console script, see pyproject.toml."""


def train_command() -> str:
    """How training is started here."""
    return "python train.py" if IS_CHECKOUT and not _by_console_script() else f"{PROGRAM} train"


def install_command(extra: str) -> str:
    """How an optional part, a key of [project.optional-dependencies], is installed here."""
    return f"pip install -e '.[{extra}]'" if IS_CHECKOUT else f"pip install '{PROGRAM}[{extra}]'"


def program(module: str) -> str:
    """What `--help` calls the command of a module: `gs-esd NAME` where that started it."""
    return sys.argv[0] if _by_console_script() else f"python -m {module}"


def _by_console_script() -> bool:
    return sys.argv[0].startswith(f"{PROGRAM} ")  # gs_esd/cli/main.py writes it so
