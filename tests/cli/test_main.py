"""The program gs-esd, from its first word to the command of that name."""

import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest

from gs_esd import __version__
from gs_esd.cli import main as program
from gs_esd.config import commands

ROOT = Path(__file__).parents[2]
WITHOUT_TORCH = """
import runpy, sys
sys.argv = ["gs-esd", *{arguments}]
runpy.run_module("gs_esd", run_name="__main__")
assert not {{"torch", "hydra", "numpy"}} & set(sys.modules), "imported for nothing"
"""


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["--version"]])
def test_help_and_version_import_nothing_slow(arguments: list[str]) -> None:
    script = WITHOUT_TORCH.format(arguments=arguments)
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    if arguments == ["--version"]:
        assert result.stdout == f"gs-esd {__version__}\n"
    else:
        lines = [line for line in result.stdout.splitlines() if line.startswith("  gs-esd ")]
        assert [line.split()[1] for line in lines[1:]] == list(program.COMMANDS)


@pytest.mark.parametrize("name", program.COMMANDS)
def test_every_command_has_a_main(name: str) -> None:
    assert callable(import_module(program.COMMANDS[name][0]).main)


def test_a_command_sees_its_own_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[str]] = []
    command = SimpleNamespace(main=lambda: seen.append(sys.argv))
    monkeypatch.setattr(program, "import_module", {"viewer.command": command}.get)
    monkeypatch.setattr(sys, "argv", ["/somewhere/gs-esd", "view", "outputs", "--help"])
    program.main()
    assert seen == [["gs-esd view", "outputs", "--help"]]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("exports", "did you mean export?"),
        ("prompt=a pig", "gs-esd train 'prompt=a pig'"),
        ("nonsense", "gs-esd --help"),
    ],
)
def test_an_unknown_command_is_an_error(
    name: str, hint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["gs-esd", name])
    with pytest.raises(SystemExit, match=hint) as caught:
        program.main()
    assert str(caught.value).startswith(f"error: there is no command {name!r}")


@pytest.mark.parametrize(
    ("is_checkout", "argv", "train", "install"),
    [
        (True, "train.py", "python train.py", "pip install -e '.[wandb]'"),
        (True, "gs-esd train", "gs-esd train", "pip install -e '.[wandb]'"),
        (False, "gs-esd train", "gs-esd train", "pip install 'gs-esd[wandb]'"),
        (False, "/x/viewer/__main__.py", "gs-esd train", "pip install 'gs-esd[wandb]'"),
    ],
)
def test_messages_name_commands_of_this_kind_of_installation(
    is_checkout: bool, argv: str, train: str, install: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "IS_CHECKOUT", is_checkout)
    monkeypatch.setattr(sys, "argv", [argv])
    assert commands.train_command() == train
    assert commands.install_command("wandb") == install
    assert commands.program("viewer") == (argv if " " in argv else "python -m viewer")


@pytest.mark.parametrize("name", [name for name in program.COMMANDS if name != "train"])
def test_help_of_a_command_names_the_program(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["gs-esd", name, "--help"])
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: gs-esd {name} ")
