"""Words that are left out of the prompts for views from which no front is seen."""

import pytest

from gs_esd.priors.front_words import (
    FRONT_WORDS,
    contained_words,
    split_words,
    without_words,
)


def test_split_words() -> None:
    assert split_words(" smiling,  big  eyes ,,") == ("smiling", "big eyes")
    assert split_words("") == ()


@pytest.mark.parametrize(
    ("prompt", "words", "expected"),
    [
        ("a smiling dog", ["smiling"], "a dog"),
        ("a SMILING dog, big  eyes, 3d", ["smiling", "big eyes"], "a dog, 3d"),
        ("smiling dog, eyes", ["smiling", "eyes"], "dog"),
        ("a typeface, facets", ["face"], "a typeface, facets"),
        ("a wide-eyed cat (smiling)", ["wide-eyed"], "a cat (smiling)"),
        ("a c++ logo", ["c++"], "a logo"),
        ("smiling", ["smiling"], ""),
    ],
)
def test_without_words(prompt: str, words: list[str], expected: str) -> None:
    assert without_words(prompt, words) == expected


@pytest.mark.parametrize("words", [[], ["smiling"], FRONT_WORDS])
def test_prompt_without_the_words_is_unchanged(words: list[str]) -> None:
    prompt = "a corgi,  high detail ,3d model"
    assert without_words(prompt, words) == prompt


def test_contained_words() -> None:
    assert contained_words("A smiling dog, Eyes closed", FRONT_WORDS) == ["smiling", "eyes"]
    assert contained_words("a corgi", FRONT_WORDS) == []
    assert contained_words("a surface of eyelets", FRONT_WORDS) == []
