"""Prompts as embeddings, against diffusers' own pipelines."""

import logging

import pytest
import torch
from diffusers import IFPipeline, StableDiffusion3Pipeline, StableDiffusionPipeline

from gs_esd.priors.text import (
    Prompts,
    all_texts,
    cut_off,
    embed_clip_pooled,
    embed_for_unet,
    embed_t5_for_flow,
    joined_for_flow,
    tokenize,
)
from gs_esd.priors.text_embeddings import TextEmbeddings
from tests.helpers.tiny_models import (
    FLOW_TEXT_WIDTH,
    TEXT_LENGTH,
    tiny_clip,
    tiny_flow_pipeline,
    tiny_pipeline,
    tiny_tokenizer,
)

PROMPT, NEGATIVE = "a blue corgi", "blurry"
LONG = "a blue corgi and a blue panda, and a Red corgi, a panda"
"""Fourteen tokens, of which ten have room between the two special ones."""


@pytest.mark.parametrize("attention_mask", [False, True])
def test_clip_is_read_as_stable_diffusion_does(attention_mask: bool) -> None:
    parts = tiny_pipeline("latent_epsilon")
    parts.text_encoder = tiny_clip(parts.tokenizer, use_attention_mask=attention_mask)
    pipeline = StableDiffusionPipeline(
        **vars(parts), safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )
    expected = torch.cat(pipeline.encode_prompt(PROMPT, "cpu", 1, True, NEGATIVE))
    found = embed_for_unet(parts.tokenizer, parts.text_encoder, [PROMPT, NEGATIVE])
    assert torch.equal(found.tokens, expected)
    assert found.pooled is None


def test_t5_is_read_as_deepfloyd_if_does() -> None:
    parts = tiny_pipeline("pixel")
    parts.tokenizer = tiny_tokenizer(model_max_length=512)
    pipeline = IFPipeline(
        tokenizer=parts.tokenizer,
        text_encoder=parts.text_encoder,
        unet=parts.unet,
        scheduler=parts.scheduler,
        safety_checker=None,
        feature_extractor=None,
        watermarker=None,
        requires_safety_checker=False,
    )
    expected = torch.cat(pipeline.encode_prompt("A Blue CORGI", negative_prompt=NEGATIVE))
    found = embed_for_unet(parts.tokenizer, parts.text_encoder, ["A Blue CORGI", NEGATIVE])
    assert found.tokens.shape[1] == 77
    torch.testing.assert_close(found.tokens, expected)


@pytest.mark.parametrize("t5", [False, True])
def test_both_clips_and_t5_are_joined_as_stable_diffusion_3_does(t5: bool) -> None:
    parts = tiny_flow_pipeline(t5=t5)
    pipeline = StableDiffusion3Pipeline(**vars(parts))
    tokens, negative_tokens, pooled, negative_pooled = pipeline.encode_prompt(
        PROMPT, PROMPT, PROMPT, negative_prompt=NEGATIVE, device="cpu"
    )
    texts = [PROMPT, NEGATIVE]
    found = joined_for_flow(
        embed_clip_pooled(parts.tokenizer, parts.text_encoder, texts),
        embed_clip_pooled(parts.tokenizer_2, parts.text_encoder_2, texts),
        embed_t5_for_flow(parts.tokenizer_3, parts.text_encoder_3, texts) if t5 else None,
        FLOW_TEXT_WIDTH,
    )
    torch.testing.assert_close(found.tokens, torch.cat([tokens, negative_tokens]))
    torch.testing.assert_close(found.pooled, torch.cat([pooled, negative_pooled]))


def test_what_a_long_prompt_loses_is_quoted_as_it_was_written(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        ids, mask = tokenize(tiny_tokenizer(), [PROMPT, LONG], TEXT_LENGTH)
    assert len(caplog.records) == 1
    assert caplog.messages[0].endswith(
        '12 tokens that the model reads; not read: "Red corgi, a panda"'
    )
    assert LONG in caplog.messages[0]
    assert ids.shape == (2, TEXT_LENGTH)
    assert mask.sum(1).tolist() == [5, TEXT_LENGTH]


def test_what_is_left_of_a_long_prompt_is_read_as_if_there_was_nothing_more() -> None:
    tokenizer = tiny_tokenizer()
    cut = cut_off(tokenizer, LONG, TEXT_LENGTH)
    ids, _ = tokenize(tokenizer, [LONG, LONG.removesuffix(cut)], TEXT_LENGTH)
    assert torch.equal(ids[0], ids[1])


@pytest.mark.parametrize("words", range(8, 13))
def test_just_what_has_no_room_is_cut(words: int) -> None:
    text = " ".join(["corgi"] * words)
    assert cut_off(tiny_tokenizer(), text, TEXT_LENGTH).split() == ["corgi"] * max(words - 10, 0)


def test_every_text_of_a_run_is_embedded_under_its_name() -> None:
    texts = all_texts("a corgi", "blurry", views=True)
    assert all_texts("a corgi", "blurry", views=False) == texts[:2]
    assert texts[2:] == [f"a corgi, {view} view" for view in ("front", "side", "back", "overhead")]
    rows = torch.arange(float(len(texts)))[:, None, None]
    prompts = Prompts.from_rows(TextEmbeddings(rows))
    assert texts[int(prompts.plain.tokens)] == "a corgi"
    assert texts[int(prompts.negative.tokens)] == "blurry"
    assert len(prompts.views) == 4
