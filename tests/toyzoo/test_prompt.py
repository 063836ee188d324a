"""Prompts of the toy zoo: animals, colours, errors."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gs_esd.toyzoo.animals.catalogue import ANIMALS
from gs_esd.toyzoo.prompt import COLORS, SYNONYMS, UnknownAnimalError, ZooSubject, parse_prompt


@pytest.mark.parametrize("name", ANIMALS)
def test_animal_names(name: str) -> None:
    assert parse_prompt(f"a {name}") == ZooSubject(name)


@pytest.mark.parametrize(
    ("prompt", "animal"),
    [
        ("CORGI", "corgi"),
        ("two foxes", "fox"),
        ("bunnies", "rabbit"),
        ("calves", "cow"),
        ("a puppy!", "corgi"),
        ("a teddy bear", "bear"),
        ("the cat's whiskers", "cat"),
        ("un pïg, s'il vous plaît", "pig"),
        ("一只 panda 🐼", "panda"),
        ("an_owl", "owl"),
    ],
)
def test_plurals_synonyms_and_punctuation(prompt: str, animal: str) -> None:
    assert parse_prompt(prompt).animal == animal


@pytest.mark.parametrize(
    ("prompt", "color", "ignored"),
    [
        ("a blue cat", "blue", ()),
        ("a small fluffy blue cat", "blue", ("small", "fluffy")),
        ("a black and white cat", "black", ("white",)),
        ("a cat", None, ()),
        ("a cat with a red hat", None, ("red", "hat")),
        ("a red hat on a cat", None, ("red", "hat")),
        ("a pink pig beside a green frog", "pink", ("beside", "green", "frog")),
        ("a Größe grün cat", None, ("grosse", "grun")),
        ("한국 cat", None, ("한국",)),
    ],
)
def test_color_before_animal_and_ignored_words(
    prompt: str, color: str | None, ignored: tuple[str, ...]
) -> None:
    subject = parse_prompt(prompt)
    assert (subject.color_name, subject.ignored) == (color, ignored)
    assert subject.color == (None if color is None else COLORS[color])


def test_first_of_two_animals() -> None:
    subject = parse_prompt("a fox chasing a rabbit")
    assert (subject.animal, subject.ignored) == ("fox", ("chasing", "rabbit"))


@pytest.mark.parametrize("prompt", ["", "   ", "\n\t"])
def test_empty_prompt_error(prompt: str) -> None:
    with pytest.raises(ValueError, match="empty"):
        parse_prompt(prompt)


@pytest.mark.parametrize(
    "prompt",
    ["a chair", "猫", "🐕", "...", "a catfish", 'a "chair"', "$HOME `ls` \\", "an 'x' !y", "it's"],
)
def test_unknown_animal_error_and_suggested_command(prompt: str) -> None:
    with pytest.raises(UnknownAnimalError) as caught:
        parse_prompt(prompt)
    message = str(caught.value)
    assert all(name in message for name in ANIMALS)
    command = message[message.index("python train.py") :]
    echo = command.replace("python train.py", "printf '%s|'")
    typed = subprocess.run(["bash", "-c", echo], capture_output=True, text=True, check=True).stdout
    assert typed == f"prompt={prompt}|prior=sd21|"
    assert ('prompt="' in command) == (prompt in ("a chair", "猫", "...", "a catfish", "it's"))


@given(st.text())
def test_arbitrary_text_parsed_or_error(prompt: str) -> None:
    try:
        subject = parse_prompt(prompt)
    except UnknownAnimalError:
        return
    assert subject.animal in ANIMALS


@given(st.text())
def test_animal_found_among_noise(noise: str) -> None:
    assert parse_prompt(f"{noise} corgi {noise}").animal in ANIMALS


def test_synonyms_name_animals() -> None:
    assert set(SYNONYMS.values()) <= set(ANIMALS)
    assert not set(SYNONYMS) & set(ANIMALS)


def test_parse_prompt_imports_no_torch() -> None:
    code = (
        "import sys; from gs_esd.toyzoo.prompt import parse_prompt; parse_prompt('a cat');"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
