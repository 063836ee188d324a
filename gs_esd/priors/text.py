"""Text embeddings of prompts, computed as the pipelines of diffusers do for the same model.

Prompts are padded to a fixed length, and the hidden states are those that the denoiser was trained
with. A prompt is embedded once, when a prior is loaded.

Notation
    R           rows, one prompt each
    L, D        tokens of a prompt, width of their embeddings
    E           width of a pooled embedding, one vector for a whole prompt
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad
from transformers import (
    CLIPTextModel,
    CLIPTextModelWithProjection,
    PreTrainedTokenizerFast,
    T5EncoderModel,
)

from gs_esd.priors.front_words import without_words
from gs_esd.priors.view_prompts import PROMPT_VIEWS

log = logging.getLogger(__name__)

IF_TOKENS = 77
"""Prompt length that DeepFloyd IF's U-Net was trained with; T5 itself has no limit."""
SD3_T5_TOKENS = 256
"""Prompt length of T5 in Stable Diffusion 3."""


@dataclass(frozen=True)
class TextEmbeddings:
    """Embedded prompts, one per row.

    Attributes:
        tokens: embeddings of the tokens.
        pooled: one vector for each prompt, for models that also take it (Stable Diffusion 3).
    """

    tokens: Float[Tensor, "R L D"]
    pooled: Float[Tensor, "R E"] | None = None

    def __len__(self) -> int:
        """Number of rows R."""
        return len(self.tokens)

    def __getitem__(self, rows: slice | Int[Tensor, " S"]) -> "TextEmbeddings":
        """Select rows by a slice or by indices."""
        return self._map(lambda embedding: embedding[rows])

    def expand(self, n: int) -> "TextEmbeddings":
        """Repeat a single row `n` times, without a copy."""
        return self._map(lambda embedding: embedding.expand(n, *embedding.shape[1:]))

    def weighted_sum(self, weights: Float[Tensor, "B R"]) -> "TextEmbeddings":
        """Sum the rows with B sets of weights, to B rows."""
        return self._map(lambda embedding: torch.einsum("br,r...->b...", weights, embedding))

    def _map(self, function: Callable[[Tensor], Tensor]) -> "TextEmbeddings":
        pooled = None if self.pooled is None else function(self.pooled)
        return TextEmbeddings(function(self.tokens), pooled)


def concatenate(parts: list[TextEmbeddings]) -> TextEmbeddings:
    """Concatenate rows; either all parts have pooled embeddings or none has."""
    pooled = [part.pooled for part in parts if part.pooled is not None]
    return TextEmbeddings(
        torch.cat([part.tokens for part in parts]), torch.cat(pooled) if pooled else None
    )


@dataclass(frozen=True)
class PromptEmbeddings:
    """All embedded prompts of a run.

    Attributes:
        prompt: the prompt without view words, one row.
        negative: the negative prompt, one row.
        views: the view-dependent prompts in the order of PROMPT_VIEWS, or no rows.
    """

    prompt: TextEmbeddings
    negative: TextEmbeddings
    views: TextEmbeddings

    @classmethod
    def from_rows(cls, rows: TextEmbeddings) -> "PromptEmbeddings":
        """Split the embeddings of `prompt_texts`."""
        return cls(rows[:1], rows[1:2], rows[2:])


def prompt_texts(
    prompt: str, negative_prompt: str, *, views: bool, front_words: Sequence[str] = ()
) -> list[str]:
    """All texts to embed: prompt, negative prompt and, with `views`, "a corgi, front view" etc.

    Args:
        prompt: Without view words.
        negative_prompt: May be empty.
        views: Whether prompts for views are among them.
        front_words: Left out of the prompts of every view but the front.
    """
    if not views:
        return [prompt, negative_prompt]
    front, *others = PROMPT_VIEWS
    elsewhere = without_words(prompt, front_words)
    of_others = [f"{elsewhere}, {view} view" for view in others]
    return [prompt, negative_prompt, f"{prompt}, {front} view", *of_others]


def embed_for_unet(
    tokenizer: PreTrainedTokenizerFast,
    encoder: CLIPTextModel | T5EncoderModel,
    texts: list[str],
) -> TextEmbeddings:
    """Embed texts for the U-Net of Stable Diffusion (by CLIP) or DeepFloyd IF (by T5)."""
    if isinstance(encoder, T5EncoderModel):
        # IF was trained on lower-case captions, with T5's attention masked at the padding.
        texts = [text.lower().strip() for text in texts]
        ids, mask = tokenize(tokenizer, texts, IF_TOKENS)
        return TextEmbeddings(_last_hidden_state(encoder, ids, mask))
    ids, mask = tokenize(tokenizer, texts, encoder.config.max_position_embeddings)
    is_masked = getattr(encoder.config, "use_attention_mask", False)
    return TextEmbeddings(_last_hidden_state(encoder, ids, mask if is_masked else None))


def embed_clip_for_sd3(
    tokenizer: PreTrainedTokenizerFast, encoder: CLIPTextModelWithProjection, texts: list[str]
) -> TextEmbeddings:
    """Embed texts by one CLIP of Stable Diffusion 3: penultimate hidden state, and projection."""
    ids, _ = tokenize(tokenizer, texts, encoder.config.max_position_embeddings)
    output = encoder(ids.to(encoder.device), output_hidden_states=True)
    return TextEmbeddings(output.hidden_states[-2].float(), output.text_embeds.float())


def embed_t5_for_sd3(
    tokenizer: PreTrainedTokenizerFast, encoder: T5EncoderModel, texts: list[str]
) -> TextEmbeddings:
    """Embed texts by the T5 of Stable Diffusion 3."""
    ids, _ = tokenize(tokenizer, texts, SD3_T5_TOKENS)
    return TextEmbeddings(_last_hidden_state(encoder, ids, None))


def join_for_sd3(
    clip: TextEmbeddings, clip_2: TextEmbeddings, t5: TextEmbeddings | None, width: int
) -> TextEmbeddings:
    """Combine the embeddings of Stable Diffusion 3's text encoders.

    Args:
        clip: of the first CLIP.
        clip_2: of the second CLIP, concatenated with the first along D, then padded to `width`.
        t5: of T5, appended along L; zeros if None, with which the model was also trained.
        width: D of T5, `joint_attention_dim` of the transformer.

    Returns:
        Tokens [R, L + SD3_T5_TOKENS, width], and the pooled embeddings of both CLIPs in one.
    """
    clips = torch.cat([clip.tokens, clip_2.tokens], dim=2)
    t5_tokens = clips.new_zeros(len(clips), SD3_T5_TOKENS, width) if t5 is None else t5.tokens
    tokens = torch.cat([pad(clips, (0, width - clips.shape[2])), t5_tokens], dim=1)
    pooled = [part.pooled for part in (clip, clip_2) if part.pooled is not None]
    return TextEmbeddings(tokens, torch.cat(pooled, dim=1))


def tokenize(
    tokenizer: PreTrainedTokenizerFast, texts: list[str], max_length: int
) -> tuple[Int[Tensor, "R L"], Bool[Tensor, "R L"]]:
    """Tokenize texts, and log a warning with the words that had to be truncated.

    Returns:
        Token ids, padded or truncated to `max_length` or the tokenizer's own limit, and the
        attention mask, False at the padding.
    """
    length = min(tokenizer.model_max_length, max_length)
    for text in texts:
        truncated = truncated_text(tokenizer, text, length)
        if truncated:
            log.warning(
                'the prompt "%s" is longer than the %d tokens of the model; truncated: "%s"',
                text,
                length,
                truncated,
            )
    batch = tokenizer(
        texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
    )
    return batch.input_ids, batch.attention_mask.bool()


def truncated_text(tokenizer: PreTrainedTokenizerFast, text: str, length: int) -> str:
    """The end of a text, as written, that does not fit into `length` tokens; "" if all fits."""
    offsets = tokenizer(
        text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
    ).offset_mapping
    room = length - tokenizer.num_special_tokens_to_add()
    return text[offsets[room][0] :].strip() if len(offsets) > room else ""


def _last_hidden_state(
    encoder: CLIPTextModel | T5EncoderModel,
    ids: Int[Tensor, "R L"],
    mask: Bool[Tensor, "R L"] | None,
) -> Float[Tensor, "R L D"]:
    device = encoder.device
    mask = None if mask is None else mask.to(device)
    return encoder(ids.to(device), attention_mask=mask).last_hidden_state.float()
