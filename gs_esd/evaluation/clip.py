"""What CLIP makes of images and of prompts: vectors in one space, alike if they belong together.

Notation
    V, P, D     images, prompts, values of a feature

Features have unit length, so that their product is the cosine between them.
Source: CLIP, arXiv 2103.00020; the towers are transformers' CLIPModel.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from gs_esd.evaluation.vision_models import load_whole, prepare
from gs_esd.priors.hub.vision import (
    DEFAULT_CLIP,
    Preprocessing,
    VisionFiles,
    find_clip,
    read_preprocessing,
)

BATCH = 32


class Clip:
    """CLIP's image and text towers, frozen, in float32.

    files: where they came from.
    preprocessing: what is done to images.
    logit_scale: CLIP's inverse temperature, by which cosines become logits; 100 for OpenAI's.
    """

    def __init__(
        self, model: Any, tokenizer: Any, files: VisionFiles, preprocessing: Preprocessing
    ) -> None:
        """Of a CLIPModel and its tokenizer; `load` makes them of a path."""
        self._model = model
        self._tokenizer = tokenizer
        self.files = files
        self.preprocessing = preprocessing
        self.logit_scale = float(model.logit_scale.exp())

    @classmethod
    def load(
        cls, path: str = DEFAULT_CLIP, revision: str | None = None, device: str = "cpu"
    ) -> "Clip":
        """The CLIP in a folder or on the Hub; see `find_clip`.

        Raises UserError as that does, and where the weights are not those of the whole model.
        """
        files = find_clip(path, revision)
        from transformers import CLIPModel, CLIPTokenizer

        model = load_whole(CLIPModel, files)
        tokenizer = CLIPTokenizer.from_pretrained(files.folder, local_files_only=True)
        return cls(model.to(device), tokenizer, files, read_preprocessing(files.folder))

    @torch.no_grad()
    def of_images(self, images: Float[Tensor, "V H W 3"]) -> Float[Tensor, "V D"]:
        """Features of images, RGB in [0, 1] of any size, on the images' device."""
        features = [self._of_batch(part) for part in images.split(BATCH)]
        return torch.cat(features).to(images)

    @torch.no_grad()
    def of_prompts(self, prompts: list[str]) -> Float[Tensor, "P D"]:
        """Features of prompts, on the CPU.

        Logs a warning with the words of a prompt that the model has no room for.
        """
        from gs_esd.priors.text import tokenize

        length = self._model.config.text_config.max_position_embeddings
        ids, mask = tokenize(self._tokenizer, prompts, length)
        features = []
        for some, real in zip(ids.split(BATCH), mask.split(BATCH), strict=True):
            device = self._model.device
            states = self._model.text_model(some.to(device), attention_mask=real.to(device))
            features.append(self._model.text_projection(states.pooler_output).cpu())
        return normalize(torch.cat(features), dim=1)

    def _of_batch(self, images: Float[Tensor, "V H W 3"]) -> Float[Tensor, "V D"]:
        pixels = prepare(images.to(self._model.device), self.preprocessing)
        states = self._model.vision_model(pixels)
        return normalize(self._model.visual_projection(states.pooler_output), dim=1)
