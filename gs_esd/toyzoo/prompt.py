"""Parses prompts into subjects that the zoo can draw. Needs no torch."""

import re
import shlex
import unicodedata
from dataclasses import dataclass

from gs_esd.config.commands import train_command
from gs_esd.errors import UserError
from gs_esd.toyzoo.animals.catalogue import ANIMALS
from gs_esd.toyzoo.primitives import Vec

_SHELL_SAFE = re.compile(r"[\w ,.:;()'-]*")
"""Prompts that a shell does not change within double quotes."""

COLORS: dict[str, Vec] = {
    "black": (0.20, 0.19, 0.21),
    "white": (0.95, 0.94, 0.92),
    "grey": (0.56, 0.57, 0.60),
    "gray": (0.56, 0.57, 0.60),
    "silver": (0.74, 0.76, 0.80),
    "brown": (0.52, 0.33, 0.19),
    "beige": (0.87, 0.77, 0.60),
    "cream": (0.95, 0.88, 0.73),
    "red": (0.84, 0.19, 0.16),
    "orange": (0.95, 0.55, 0.14),
    "ginger": (0.88, 0.52, 0.22),
    "golden": (0.90, 0.69, 0.24),
    "gold": (0.90, 0.69, 0.24),
    "yellow": (0.96, 0.82, 0.22),
    "green": (0.33, 0.68, 0.32),
    "turquoise": (0.20, 0.72, 0.70),
    "blue": (0.24, 0.46, 0.87),
    "purple": (0.56, 0.33, 0.78),
    "violet": (0.56, 0.33, 0.78),
    "pink": (0.96, 0.56, 0.70),
}

# Other words for an animal, where the zoo's one fits the word.
SYNONYMS: dict[str, str] = {
    "dog": "corgi",
    "doggy": "corgi",
    "puppy": "corgi",
    "pup": "corgi",
    "kitten": "cat",
    "kitty": "cat",
    "bunny": "rabbit",
    "teddy": "bear",
    "piglet": "pig",
    "calf": "cow",
    "duckling": "duck",
    "lamb": "sheep",
    "tortoise": "turtle",
}

# Words that separate a colour from the nouns after them: "a red hat on a cat" is no red cat.
_DIVIDERS = frozenset("a an the this that of on in at by with from under".split())
_IGNORED_SILENTLY = _DIVIDERS | frozenset("and is are it its some s".split())  # s: as in "a cat's"
_PLURALS = (("ies", "y"), ("ves", "f"), ("es", ""), ("s", ""))


class UnknownAnimalError(UserError, ValueError):
    """The prompt names no animal of the zoo, or is empty."""


@dataclass(frozen=True)
class ZooSubject:
    """Animal and colour that a prompt names.

    animal: a key of ANIMALS.
    color: display sRGB in [0, 1] of the coat, None for the usual one.
    color_name: the word for it, a key of COLORS.
    ignored: words that have no effect, in their order, without articles and the like.
    """

    animal: str
    color: Vec | None = None
    color_name: str | None = None
    ignored: tuple[str, ...] = ()


def parse_prompt(prompt: str) -> ZooSubject:
    """Find the first animal that a prompt names, and its colour.

    The colour stands before the animal, as in "a small blue cat".

    Raises:
        UnknownAnimalError: the prompt is empty or names no animal of the zoo.
    """
    if not prompt.strip():
        raise UnknownAnimalError('the prompt is empty: say what to make, e.g. prompt="a corgi"')
    words = _words(prompt)
    animals = [_animal(word) for word in words]
    animal = next((found for found in animals if found is not None), None)
    if animal is None:
        raise UnknownAnimalError(_unknown(prompt))
    color_name = _color_name(words[: animals.index(animal)])
    ignored = tuple(
        word
        for word, found in zip(words, animals, strict=True)
        if found != animal and word != color_name and word not in _IGNORED_SILENTLY
    )
    color = None if color_name is None else COLORS[color_name]
    return ZooSubject(animal, color, color_name, ignored)


def _color_name(words: list[str]) -> str | None:
    """The first colour among the words that lead up to an animal."""
    last = max((i for i, word in enumerate(words) if word in _DIVIDERS), default=-1)
    return next((word for word in words[last + 1 :] if word in COLORS), None)


def _words(prompt: str) -> list[str]:
    """Lower-case words without accents; whatever is no letter or digit separates them."""
    plain = unicodedata.normalize("NFKD", prompt.casefold())
    plain = "".join(letter for letter in plain if not unicodedata.combining(letter))
    return re.findall(r"[^\W_]+", unicodedata.normalize("NFC", plain))


def _animal(word: str) -> str | None:
    """Animal that a word, singular or plural, names."""
    singulars = [word[: -len(end)] + new for end, new in _PLURALS if word.endswith(end)]
    for candidate in (word, *singulars):
        candidate = SYNONYMS.get(candidate, candidate)
        if candidate in ANIMALS:
            return candidate
    return None


def _unknown(prompt: str) -> str:
    known = ", ".join(sorted(ANIMALS))
    plain = " ".join(prompt.split())
    typed = f'prompt="{plain}"' if _SHELL_SAFE.fullmatch(plain) else shlex.quote(f"prompt={plain}")
    return (
        f'the toy zoo has no animal in "{plain}"; it has {known}.\n'
        "From images of your own: add prior=images prior.path=FOLDER.\n"
        "Anything else, by Stable Diffusion on a GPU: "
        f"{train_command()} {typed} prior=sd21"
    )
