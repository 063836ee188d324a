"""Prompt embeddings, against diffusers' own pipelines."""

import logging

import pytest
import torch
from diffusers import IFPipeline, StableDiffusion3Pipeline, StableDiffusionPipeline

from gs_esd.priors.text import (
    PromptEmbeddings,
    TextEmbeddings,
    concatenate,
    embed_clip_for_sd3,
    embed_for_unet,
    embed_t5_for_sd3,
    join_for_sd3,
    prompt_texts,
    tokenize,
    truncated_text,
)
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
"""Fourteen tokens, of which ten fit between the two special ones."""


@pytest.mark.parametrize("attention_mask", [False, True])
def test_clip_of_stable_diffusion(attention_mask: bool) -> None:
    parts = tiny_pipeline("latent_epsilon")
    parts.text_encoder = tiny_clip(parts.tokenizer, use_attention_mask=attention_mask)
    pipeline = StableDiffusionPipeline(
        **vars(parts), safety_checker=None, feature_extractor=None, requires_safety_checker=False
    )
    expected = torch.cat(pipeline.encode_prompt(PROMPT, "cpu", 1, True, NEGATIVE))
    found = embed_for_unet(parts.tokenizer, parts.text_encoder, [PROMPT, NEGATIVE])
    assert torch.equal(found.tokens, expected)
    assert found.pooled is None


def test_t5_of_deepfloyd_if() -> None:
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
def test_text_encoders_of_stable_diffusion_3(t5: bool) -> None:
    parts = tiny_flow_pipeline(t5=t5)
    pipeline = StableDiffusion3Pipeline(**vars(parts))
    tokens, negative_tokens, pooled, negative_pooled = pipeline.encode_prompt(
        PROMPT, PROMPT, PROMPT, negative_prompt=NEGATIVE, device="cpu"
    )
    texts = [PROMPT, NEGATIVE]
    found = join_for_sd3(
        embed_clip_for_sd3(parts.tokenizer, parts.text_encoder, texts),
        embed_clip_for_sd3(parts.tokenizer_2, parts.text_encoder_2, texts),
        embed_t5_for_sd3(parts.tokenizer_3, parts.text_encoder_3, texts) if t5 else None,
        FLOW_TEXT_WIDTH,
    )
    torch.testing.assert_close(found.tokens, torch.cat([tokens, negative_tokens]))
    torch.testing.assert_close(found.pooled, torch.cat([pooled, negative_pooled]))


def test_warning_of_truncated_prompt(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING):
        ids, mask = tokenize(tiny_tokenizer(), [PROMPT, LONG], TEXT_LENGTH)
    assert len(caplog.records) == 1
    assert caplog.messages[0].endswith('12 tokens of the model; truncated: "Red corgi, a panda"')
    assert LONG in caplog.messages[0]
    assert ids.shape == (2, TEXT_LENGTH)
    assert mask.sum(1).tolist() == [5, TEXT_LENGTH]


def test_tokens_of_truncated_prompt() -> None:
    tokenizer = tiny_tokenizer()
    end = truncated_text(tokenizer, LONG, TEXT_LENGTH)
    ids, _ = tokenize(tokenizer, [LONG, LONG.removesuffix(end)], TEXT_LENGTH)
    assert torch.equal(ids[0], ids[1])


@pytest.mark.parametrize("words", range(8, 13))
def test_truncated_text(words: int) -> None:
    text = " ".join(["corgi"] * words)
    assert truncated_text(tiny_tokenizer(), text, TEXT_LENGTH).split() == ["corgi"] * max(
        words - 10, 0
    )


def test_prompt_texts() -> None:
    texts = prompt_texts("a corgi", "blurry", views=True)
    assert prompt_texts("a corgi", "blurry", views=False) == texts[:2]
    assert texts[2:] == [f"a corgi, {view} view" for view in ("front", "side", "back", "overhead")]
    rows = torch.arange(float(len(texts)))[:, None, None]
    prompts = PromptEmbeddings.from_rows(TextEmbeddings(rows))
    assert texts[int(prompts.prompt.tokens)] == "a corgi"
    assert texts[int(prompts.negative.tokens)] == "blurry"
    assert len(prompts.views) == 4


def test_prompt_texts_without_front_words() -> None:
    words = {"front_words": ("smiling", "blue eyes")}
    prompt = "a Smiling corgi, blue  eyes"
    texts = prompt_texts(prompt, "smiling", views=True, **words)
    assert texts[:3] == [prompt, "smiling", f"{prompt}, front view"]
    assert texts[3:] == [f"a corgi, {view} view" for view in ("side", "back", "overhead")]
    assert prompt_texts(prompt, "", views=False, **words) == [prompt, ""]


@pytest.mark.parametrize("pooled", [False, True])
def test_text_embeddings_by_row(pooled: bool) -> None:
    tokens = torch.arange(12.0).reshape(3, 2, 2)
    text = TextEmbeddings(tokens, tokens[:, 0] if pooled else None)
    halves = text.weighted_sum(torch.tensor([[0.5, 0.5, 0.0]]))
    torch.testing.assert_close(halves.tokens[0], 0.5 * (tokens[0] + tokens[1]))
    rows = concatenate([text[torch.tensor([2])], halves, text[:1].expand(2)])
    assert len(rows) == 4
    assert torch.equal(rows.tokens[0], tokens[2])
    assert torch.equal(rows.tokens[3], tokens[0])
    if rows.pooled is not None:
        assert torch.equal(rows.pooled, rows.tokens[:, 0])
    assert (rows.pooled is not None) == pooled
