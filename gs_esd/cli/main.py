"""The program `gs-esd`, or `python -m gs_esd`: one word a command, imported when it is used."""

import difflib
import shlex
import sys
from importlib import import_module

from gs_esd import __version__
from gs_esd.config.commands import PROGRAM

COMMANDS = {
    "train": ("gs_esd.cli.train", "make splats of a prompt, or a sweep of them"),
    "view": ("viewer.command", "show splats and runs in a browser"),
    "export": ("gs_esd.export.command", "convert a splat to another format"),
    "eval": ("gs_esd.evaluation.command", "measure finished runs: views, CLIP, the Janus problem"),
    "report": ("gs_esd.report.command", "write a page that shows a sweep"),
    "doctor": ("gs_esd.tools.doctor", "find out what this machine can run"),
    "precompile": ("gs_esd.cli.precompile", "compile the kernels before the first run"),
}
"""The module of each command, of which main() is called, and what it does."""


def main() -> None:
    """Run the command that the first argument names; the others are its own."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name in ("-h", "--help"):
        print(help_text())
    elif name == "--version":
        print(f"{PROGRAM} {__version__}")
    elif name in COMMANDS:
        sys.argv = [f"{PROGRAM} {name}", *arguments]
        import_module(COMMANDS[name][0]).main()
    else:
        sys.exit(
            f"error: there is no command {name!r}{_hint(name)}\nAll commands: {PROGRAM} --help"
        )


def help_text() -> str:
    """The usage, with a line on each command."""
    lines = [f"  {PROGRAM} {name:<11} {what}" for name, (_, what) in COMMANDS.items()]
    return "\n".join(
        [
            "Text to a 3D Gaussian splat by Entropic Score Distillation.\n",
            f'  {PROGRAM} train prompt="a corgi"\n',
            *lines,
            f"\nWhat a command takes: {PROGRAM} COMMAND --help. The version: {PROGRAM} --version",
        ]
    )


def _hint(name: str) -> str:
    if "=" in name:  # values of the training command
        return f"; to train: {PROGRAM} train {shlex.quote(name)}"
    near = difflib.get_close_matches(name, COMMANDS, n=1)
    return f"; did you mean {near[0]}?" if near else ""
