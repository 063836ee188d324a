"""A CLIP of a few thousand random weights, in memory and in a folder."""

import json
import string
from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

SIZE, PROMPT_LENGTH = 16, 40
LOGIT_SCALE = 20.0


def tiny_clip_tokenizer() -> CLIPTokenizer:
    """A token for each letter or digit, and another for each at the end of a word."""
    ends = ["<|startoftext|>", "<|endoftext|>"]
    letters = string.ascii_lowercase + string.digits + string.punctuation
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *ends]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=PROMPT_LENGTH)


def tiny_clip_model(tokenizer: CLIPTokenizer) -> CLIPModel:
    """Two towers of one layer, with the same random weights every time."""
    tower = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    tower["num_attention_heads"] = 2
    text = {"vocab_size": len(tokenizer), "max_position_embeddings": PROMPT_LENGTH}
    ends = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos")}
    config = CLIPConfig(
        text_config=tower | text | ends,
        vision_config=tower | {"image_size": SIZE, "patch_size": SIZE // 2},
        projection_dim=8,
        logit_scale_init_value=torch.tensor(LOGIT_SCALE).log().item(),
        initializer_factor=10.0,  # else it separates no images
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = CLIPModel(config).eval()
    # With these weights all cosines of texts and images are negative, so all scores would be 0.
    model.text_projection.weight.data.neg_()
    return model


def write_clip(folder: Path) -> Path:
    """Write a whole CLIP as transformers does."""
    tokenizer = tiny_clip_tokenizer()
    tiny_clip_model(tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    settings = {
        "size": {"shortest_edge": SIZE},
        "crop_size": {"height": SIZE, "width": SIZE},
        "image_mean": [0.5, 0.4, 0.3],
        "image_std": [0.2, 0.3, 0.4],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return folder
