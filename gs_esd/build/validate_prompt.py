"""Checks of words in the prompt that contradict a view; see gs_esd/priors/front_words.py."""

from gs_esd.config.learned import DiffusersPriorConfig, ViewPrompts
from gs_esd.errors import UserError
from gs_esd.priors.front_words import FRONT_WORDS, contained_words, split_words, without_words


def front_word_warnings(prior: DiffusersPriorConfig, prompt: str) -> list[str]:
    """Check prior.front_words, and warn of words that only a front can show where views are named.

    Raises:
        UserError: no view is named, so that front_words would do nothing, or no word would be left.
    """
    named = split_words(prior.front_words)
    if prior.view_prompts == ViewPrompts.off:
        if named:
            raise UserError(
                "prior.front_words leaves words out of the prompts for side, back and overhead "
                "views, and prior.view_prompts=off has none. Leave it out, or use "
                "prior.view_prompts=nearest"
            )
        return []
    rest = without_words(prompt, named)
    if not rest:
        raise UserError(
            f"prior.front_words={prior.front_words} leaves nothing of the prompt for side, back "
            "and overhead views; keep the words that name the object"
        )
    absent = [word for word in named if not contained_words(prompt, [word])]
    return [*_absent(absent), *_contradicting(contained_words(rest, FRONT_WORDS), named)]


def _absent(words: list[str]) -> list[str]:
    if not words:
        return []
    return [f"prior.front_words has {_quoted(words)}, and the prompt has not: without effect"]


def _contradicting(words: list[str], named: tuple[str, ...]) -> list[str]:
    if not words:
        return []
    remedy = ",".join([*named, *words])
    return [
        f"the prompt has {_quoted(words)}, and is used for side, back and overhead views as well, "
        "where that invites a second face. To leave words out there: "
        f'prior.front_words="{remedy}"'
    ]


def _quoted(words: list[str]) -> str:
    return " and ".join(f'"{word}"' for word in words)
