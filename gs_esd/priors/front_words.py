"""Prompt debiasing: words of a prompt that only a front can show, left out for other views.

"A smiling dog, back view" contradicts itself, and a text-to-image model settles it with a face.
Debiased-SDS (Hong et al., arXiv 2303.15413) finds such words by the probabilities that a language
model gives to "front", "side" and "back" (threestudio: `use_prompt_debiasing`, by BERT). Here the
user names them (`prior.front_words`), and a warning points at the usual ones. Imports no torch.
"""

import re
from collections.abc import Sequence

FRONT_WORDS = (
    *("face", "faces", "portrait", "smile", "smiles", "smiling", "grin", "grinning"),
    *("eye", "eyes", "mouth", "nose", "looking", "staring"),
)
"""Words that a prompt is warned about; whether they are about the front is for the user to say."""


def split_words(text: str) -> tuple[str, ...]:
    """Words and phrases separated by commas, such as "smiling, big eyes"."""
    return tuple(word for part in text.split(",") if (word := " ".join(part.split())))


def without_words(prompt: str, words: Sequence[str]) -> str:
    """A prompt without some words or phrases, whatever their case; unchanged if it has none.

    Only whole words count. Commas with nothing left between them, and spare spaces, go as well.
    """
    shorter = prompt
    for word in words:
        shorter = _pattern(word).sub("", shorter)
    if shorter == prompt:
        return prompt
    parts = (" ".join(part.split()) for part in shorter.split(","))
    return ", ".join(part for part in parts if part)


def contained_words(prompt: str, words: Sequence[str]) -> list[str]:
    """Those of the words or phrases that a prompt has, whatever their case."""
    return [word for word in words if _pattern(word).search(prompt)]


def _pattern(word: str) -> "re.Pattern[str]":
    spaced = r"\s+".join(re.escape(part) for part in word.split())
    return re.compile(rf"(?<!\w){spaced}(?!\w)", re.IGNORECASE)
