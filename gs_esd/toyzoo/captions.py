"""Captions of the zoo's images, which the tiny prior is trained on. Needs no torch."""

import random
from collections.abc import Iterator

from gs_esd.cameras.view_names import VIEW_NAMES
from gs_esd.toyzoo.animals.catalogue import ANIMALS
from gs_esd.toyzoo.prompt import COLORS, SYNONYMS, ZooSubject

SYNONYM_SHARE = 0.2
"""Share of captions that use a synonym of the animal, where there is one."""
OTHER_WORDS = ("a", "an", "view", ",")


def vocabulary() -> list[str]:
    """Every word of every caption, in a fixed order."""
    return sorted({*ANIMALS, *SYNONYMS, *COLORS, *VIEW_NAMES, *OTHER_WORDS})


def subjects() -> Iterator[ZooSubject]:
    """Every animal in its usual colours, then every animal in every colour, synonyms once."""
    names = {color: name for name, color in COLORS.items()}
    for animal in ANIMALS:
        yield ZooSubject(animal)
    for animal in ANIMALS:
        for color, name in names.items():
            yield ZooSubject(animal, color, name)


def caption(subject: ZooSubject, view: str | None, choice: random.Random) -> str:
    """Draw a caption of an image, such as "a blue panda, side view".

    Args:
        subject: animal and colour.
        view: one of VIEW_NAMES, or None to leave it out.
        choice: draws among synonyms.
    """
    synonyms = [word for word, animal in SYNONYMS.items() if animal == subject.animal]
    use_synonym = bool(synonyms) and choice.random() < SYNONYM_SHARE
    noun = choice.choice(synonyms) if use_synonym else subject.animal
    colors = [name for name, color in COLORS.items() if color == subject.color]
    words = [choice.choice(colors), noun] if colors else [noun]
    article = "an" if words[0][0] in "aeiou" else "a"
    return " ".join([article, *words]) + (f", {view} view" if view else "")
