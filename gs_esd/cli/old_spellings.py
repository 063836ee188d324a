"""Keys and choices of the last version on the command line, translated with a line on each."""

import re
import sys
from collections.abc import Sequence

from gs_esd.config.renamed import RENAMED_CHOICES, renamed
from gs_esd.system import torchrun


def translate(arguments: Sequence[str]) -> list[str]:
    """Arguments with today's names; says so on stderr for every one that had an old name."""
    translated = [_translate(argument) for argument in arguments]
    for old, new in zip(arguments, translated, strict=True):
        if old != new and torchrun.process_rank() == 0:
            hint = f"{old} is now {new}; the old spelling goes with the next version"
            print(hint, file=sys.stderr)
    return translated


def _translate(argument: str) -> str:
    """Translate [+|++|~]KEY[=VALUE], of which VALUE may be a sweep; options stay as they are."""
    name, equals, value = argument.partition("=")
    key = name.lstrip("+~")
    prefix = name.removesuffix(key)
    if not equals and "~" not in prefix:
        return argument
    for (group, old), new in RENAMED_CHOICES.items():
        if renamed(key) == group:
            value = re.sub(rf"(?<![\w.-]){re.escape(old)}(?![\w.-])", new, value)
    return f"{prefix}{renamed(key)}{equals}{value}"
