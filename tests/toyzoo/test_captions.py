"""Captions of the zoo: parsed by `parse_prompt`, and within the tokenizer's vocabulary."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gs_esd.cameras.view_names import VIEW_NAMES
from gs_esd.toyzoo.animals.catalogue import ANIMALS
from gs_esd.toyzoo.captions import caption, subjects, vocabulary
from gs_esd.toyzoo.prompt import COLORS, ZooSubject, parse_prompt

SUBJECTS = list(subjects())
any_caption = st.builds(
    lambda subject, view, seed: (subject, caption(subject, view, random.Random(seed))),
    st.sampled_from(SUBJECTS),
    st.sampled_from([None, *VIEW_NAMES]),
    st.integers(0, 1000),
)


@given(any_caption)
def test_caption_parses_to_its_subject(case: tuple[ZooSubject, str]) -> None:
    subject, words = case
    parsed = parse_prompt(words)
    assert (parsed.animal, parsed.color) == (subject.animal, subject.color)


@given(any_caption)
def test_caption_words_in_vocabulary(case: tuple[ZooSubject, str]) -> None:
    words = case[1].replace(",", " ,").split()
    assert set(words) <= set(vocabulary())


@pytest.mark.parametrize(
    ("subject", "view", "expected"),
    [
        (ZooSubject("panda"), None, "a panda"),
        (ZooSubject("owl"), "back", "an owl, back view"),
        (ZooSubject("fox", COLORS["blue"], "blue"), "side", "a blue fox, side view"),
        (ZooSubject("fox", COLORS["orange"], "orange"), None, "an orange fox"),
    ],
)
def test_caption_text(subject: ZooSubject, view: str | None, expected: str) -> None:
    assert caption(subject, view, random.Random(0)) == expected


def test_caption_synonyms_occur() -> None:
    choice = random.Random(0)
    grey_dog = ZooSubject("corgi", COLORS["grey"], "grey")
    used = {word for _ in range(200) for word in caption(grey_dog, None, choice).split()}
    assert {"corgi", "dog", "puppy", "grey", "gray"} <= used


def test_subjects_complete_and_unique() -> None:
    assert len(SUBJECTS) == len(ANIMALS) * (1 + len(set(COLORS.values())))
    assert len({(s.animal, s.color) for s in SUBJECTS}) == len(SUBJECTS)
