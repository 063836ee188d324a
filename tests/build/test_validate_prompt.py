"""Warnings of words that contradict a view, and checks of prior.front_words."""

import pytest

from gs_esd.build.learned import build_learned_prior
from gs_esd.build.validate_prompt import front_word_warnings
from gs_esd.config.learned import DiffusersPriorConfig, ViewPrompts
from gs_esd.config.options import Config
from gs_esd.errors import UserError


def _prior(front_words: str = "", views: ViewPrompts = ViewPrompts.nearest) -> DiffusersPriorConfig:
    return DiffusersPriorConfig(path="bundled", front_words=front_words, view_prompts=views)


@pytest.mark.parametrize("views", [view for view in ViewPrompts if view != ViewPrompts.off])
def test_words_of_a_front(views: ViewPrompts) -> None:
    [warning] = front_word_warnings(_prior(views=views), "a smiling cat with big eyes")
    assert '"smiling" and "eyes"' in warning
    assert 'prior.front_words="smiling,eyes"' in warning
    assert front_word_warnings(_prior("smiling,eyes", views), "a smiling cat with big eyes") == []
    [rest] = front_word_warnings(_prior("smiling", views), "a smiling cat with big eyes")
    assert 'the prompt has "eyes"' in rest
    assert front_word_warnings(_prior(views=views), "a cat") == []


def test_no_views_named() -> None:
    assert front_word_warnings(_prior(views=ViewPrompts.off), "a smiling cat") == []
    with pytest.raises(UserError, match=r"Leave it out, or use prior\.view_prompts=nearest"):
        front_word_warnings(_prior("smiling", ViewPrompts.off), "a smiling cat")


def test_words_that_are_not_in_the_prompt() -> None:
    [warning] = front_word_warnings(_prior("beak"), "a cat")
    assert '"beak"' in warning


def test_nothing_left_of_the_prompt() -> None:
    with pytest.raises(UserError, match="leaves nothing of the prompt"):
        front_word_warnings(_prior("a cat"), "A cat")


def test_front_words_reach_the_prior() -> None:
    pytest.importorskip("diffusers")
    import torch

    def built(prompt: str, front_words: str = "") -> torch.Tensor:
        prior = build_learned_prior(_prior(front_words), Config(prompt=prompt), torch.device("cpu"))
        return prior.prompts.views.tokens

    plain, brown = built("a corgi"), built("a brown corgi")
    assert torch.equal(built("a brown corgi", "brown"), torch.cat([brown[:1], plain[1:]]))
