"""Prompts as the embeddings that a denoiser takes.

Each function does what the pipelines in diffusers do for the same model: padding to a fixed length,
and, of the encoder's states, those that the denoiser was trained with. A prompt is embedded once,
when a prior is made.
"""

import logging
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from torch.nn.functional import pad
from transformers import (
    CLIPTextModel,
    CLIPTextModelWithProjection,
    PreTrainedTokenizerFast,
    T5EncoderModel,
)

from gs_esd.priors.text_embeddings import TextEmbeddings
from gs_esd.priors.view_prompts import PROMPT_VIEWS

log = logging.getLogger(__name__)

IF_LENGTH = 77
"""Tokens that DeepFloyd IF's U-Net was trained with, however many T5 could take."""
FLOW_T5_LENGTH = 256
"""Tokens of T5 that Stable Diffusion 3 is given."""


@dataclass(frozen=True)
class Prompts:
    """All texts of a run, embedded.

    plain: the prompt as it is, one row.
    negative: what to turn away from, one row.
    views: the prompt with the words for each of PROMPT_VIEWS, a row each, or no rows.
    """

    plain: TextEmbeddings
    negative: TextEmbeddings
    views: TextEmbeddings

    @classmethod
    def from_rows(cls, rows: TextEmbeddings) -> "Prompts":
        """Of the embeddings of `all_texts`, in its order."""
        return cls(rows[:1], rows[1:2], rows[2:])


def all_texts(prompt: str, negative_prompt: str, *, views: bool) -> list[str]:
    """The prompt, the negative prompt and, if asked for, "a corgi, front view" and so on."""
    seen_from = [f"{prompt}, {view} view" for view in PROMPT_VIEWS] if views else []
    return [prompt, negative_prompt, *seen_from]


def embed_for_unet(
    tokenizer: PreTrainedTokenizerFast,
    encoder: CLIPTextModel | T5EncoderModel,
    texts: list[str],
) -> TextEmbeddings:
    """Texts for the U-Net of Stable Diffusion (CLIP's last states) or DeepFloyd IF (T5's)."""
    if isinstance(encoder, T5EncoderModel):
        # IF was trained on captions in lower case, and has T5 look away from the padding.
        texts = [text.lower().strip() for text in texts]
        ids, mask = tokenize(tokenizer, texts, IF_LENGTH)
        return TextEmbeddings(_states(encoder, ids, mask))
    ids, mask = tokenize(tokenizer, texts, encoder.config.max_position_embeddings)
    masked = getattr(encoder.config, "use_attention_mask", False)
    return TextEmbeddings(_states(encoder, ids, mask if masked else None))


def embed_clip_pooled(
    tokenizer: PreTrainedTokenizerFast, encoder: CLIPTextModelWithProjection, texts: list[str]
) -> TextEmbeddings:
    """Texts as Stable Diffusion 3 has them of CLIP: the last states but one, and one projection."""
    ids, _ = tokenize(tokenizer, texts, encoder.config.max_position_embeddings)
    output = encoder(ids.to(encoder.device), output_hidden_states=True)
    return TextEmbeddings(output.hidden_states[-2].float(), output.text_embeds.float())


def embed_t5_for_flow(
    tokenizer: PreTrainedTokenizerFast, encoder: T5EncoderModel, texts: list[str]
) -> TextEmbeddings:
    """Texts as Stable Diffusion 3 has them of T5."""
    ids, _ = tokenize(tokenizer, texts, FLOW_T5_LENGTH)
    return TextEmbeddings(_states(encoder, ids, None))


def joined_for_flow(
    clip: TextEmbeddings, clip_2: TextEmbeddings, t5: TextEmbeddings | None, width: int
) -> TextEmbeddings:
    """What Stable Diffusion 3 takes: tokens [R, L + L_T5, width], both pooled vectors in one.

    The two CLIPs share tokens and stand side by side, filled up to T5's width; T5's tokens follow.
    Without T5 there are zeros in their place, which the model was also trained with.
    """
    side_by_side = torch.cat([clip.tokens, clip_2.tokens], dim=2)
    rows = len(side_by_side)
    after = side_by_side.new_zeros(rows, FLOW_T5_LENGTH, width) if t5 is None else t5.tokens
    tokens = torch.cat([pad(side_by_side, (0, width - side_by_side.shape[2])), after], dim=1)
    pooled = [part.pooled for part in (clip, clip_2) if part.pooled is not None]
    return TextEmbeddings(tokens, torch.cat(pooled, dim=1))


def tokenize(
    tokenizer: PreTrainedTokenizerFast, texts: list[str], most: int
) -> tuple[Int[Tensor, "R L"], Bool[Tensor, "R L"]]:
    """Token ids, padded or cut to `most` or the tokenizer's length, and which are no padding.

    Logs a warning with the words that were cut.
    """
    length = min(tokenizer.model_max_length, most)
    for text in texts:
        cut = cut_off(tokenizer, text, length)
        if cut:
            log.warning(
                'the prompt "%s" is longer than the %d tokens that the model reads; not read: "%s"',
                text,
                length,
                cut,
            )
    batch = tokenizer(
        texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
    )
    return batch.input_ids, batch.attention_mask.bool()


def cut_off(tokenizer: PreTrainedTokenizerFast, text: str, length: int) -> str:
    """The end of a text, as it was written, for which `length` tokens have no room."""
    offsets = tokenizer(
        text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
    ).offset_mapping
    room = length - tokenizer.num_special_tokens_to_add()
    return text[offsets[room][0] :].strip() if len(offsets) > room else ""


def _states(
    encoder: CLIPTextModel | T5EncoderModel,
    ids: Int[Tensor, "R L"],
    mask: Bool[Tensor, "R L"] | None,
) -> Tensor:
    """The encoder's last states [R, L, D] in float32."""
    device = encoder.device
    mask = None if mask is None else mask.to(device)
    return encoder(ids.to(device), attention_mask=mask).last_hidden_state.float()
