"""The command line as the user typed it, made into the command line that Hydra reads."""

import re
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

from gs_esd.cli.old_spellings import translate
from gs_esd.config.commands import install_command
from gs_esd.config.kinds import PRESETS, free_text_keys
from gs_esd.errors import UserError
from gs_esd.system.hardware import detect

LAUNCHER_PACKAGES = {"ray": "ray", "slurm": "submitit"}
"""What launchers take, by the first word of their names in conf/hydra/launcher."""
REMOTE_LAUNCHERS = ("ray_cluster", "slurm")
"""Launchers of machines that need not be like the one where the command is given."""

_QUOTED = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
# A quoted value, several of them, or choice(...): the user writes Hydra's grammar on purpose.
_HYDRA_VALUE = re.compile(rf"\s*(?:{_QUOTED}(?:\s*,\s*{_QUOTED})*|choice\(.*\))\s*", re.DOTALL)


def prepare(arguments: Sequence[str]) -> list[str]:
    """Read files of prompts, quote free text, choose the hardware, and translate old spellings.

    Raises:
        UserError: a file of prompts or a launcher cannot be used.
    """
    arguments = translate(arguments)
    # Options first: Hydra reads `-m prompt=x seed=0,1`, but not `prompt=x -m seed=0,1`.
    values = [a for a in arguments if "=" in a and not a.startswith("-")]
    options = [a for a in arguments if a not in values]
    # Elsewhere it is often added; here it is in the list of defaults, where Hydra refuses a +.
    values = [a.lstrip("+") if _key(a) == "experiment" else a for a in values]
    if any(_key(value) == "prompts" for value in values):
        options += [] if {"-m", "--multirun"} & set(options) else ["-m"]
        values = read_prompts(values)
    check_launcher(values)
    return [*options, *choose_hardware(protect_free_text(values))]


def check_launcher(arguments: Sequence[str]) -> None:
    """Check that a launcher is installed, and that one of other machines has its hardware given.

    Raises:
        UserError: it is not.
    """
    given = {_key(argument): argument.partition("=")[2] for argument in arguments}
    launcher = given.get("hydra/launcher", "")
    package = LAUNCHER_PACKAGES.get(launcher.partition("_")[0])
    if package and find_spec(package) is None:
        raise UserError(
            f"hydra/launcher={launcher} needs {package}, which is not installed: "
            + install_command("cluster")
        )
    if launcher in REMOTE_LAUNCHERS and "hardware" not in given:
        raise UserError(
            f"hydra/launcher={launcher} computes on other machines than this one: name theirs, "
            "with hardware=cuda or hardware=cpu"
        )


def read_prompts(arguments: Sequence[str]) -> list[str]:
    """Replace prompts=FILE by a sweep over the file's lines, in UTF-8, empty ones left out.

    Raises:
        UserError: it stands beside another prompt, or the file has none or cannot be read.
    """
    files = [a.partition("=")[2] for a in arguments if _key(a) == "prompts"]
    if len(files) > 1 or any(_key(a) == "prompt" for a in arguments):
        raise UserError("prompts=FILE is given with other prompts; give one file, or prompt=TEXT")
    others = [a for a in arguments if _key(a) != "prompts"]
    prompts = _lines(Path(files[0]).expanduser())
    return [f"prompt={','.join(quote(prompt) for prompt in prompts)}", *others]


def _lines(file: Path) -> list[str]:
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else error.strerror
        raise UserError(f"prompts={file} cannot be read: {reason}") from None
    lines = [line.strip() for line in text.split("\n")]
    if not any(lines):
        raise UserError(f"prompts={file} is empty; it should hold a prompt a line")
    return list(dict.fromkeys(line for line in lines if line))


def _key(argument: str) -> str:
    return argument.partition("=")[0].lstrip("+")


def protect_free_text(arguments: Iterable[str]) -> list[str]:
    """Quote free text so that Hydra passes it on unchanged, in a single run and with -m.

    Unquoted text would break at commas, apostrophes, accents and much else. Text that is wholly
    quoted already stays as it is, so that `prompt="'a red cat, asleep','a dog'"` is a sweep.
    """
    text_keys = {*free_text_keys(), *PRESETS}  # vram=8 is the name of a file
    return [_protect(argument, text_keys) for argument in arguments]


def _protect(argument: str, text_keys: set[str]) -> str:
    key, equals, value = argument.partition("=")
    if not equals or _key(argument) not in text_keys or _HYDRA_VALUE.fullmatch(value):
        return argument
    return f"{key}={quote(value)}"


def quote(text: str) -> str:
    """Any text as a quoted string of Hydra's grammar."""
    # In both grammars backslashes count only before what they can escape (for Hydra a quote or the
    # end, for OmegaConf an interpolation), and there two stand for one.
    literal = re.sub(r"(\\*)\$\{", r"\1\1\\${", text)
    quoted = re.sub(r"(\\*)('|\Z)", lambda m: m[1] * 2 + m[2].replace("'", r"\'"), literal)
    return f"'{quoted}'"


def choose_hardware(arguments: Sequence[str]) -> list[str]:
    """Add hardware=cpu or hardware=cuda, as the machine has it, unless the user gave one."""
    if any(_key(argument) == "hardware" for argument in arguments):
        return list(arguments)
    return [*arguments, f"hardware={detect().device.value}"]
