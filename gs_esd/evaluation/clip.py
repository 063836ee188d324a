"""CLIP's measures of images: how well they match a prompt, and which side they show.

Notation
    V, P, K, D  images of one object, other prompts, descriptions of views, values of a feature
    x_v, y      unit feature of image v, and of the object's own prompt
    s           CLIP's logit scale, its inverse temperature

    CLIP score  100 max(x_v · y, 0)                     arXiv 2104.08718 without its factor 2.5
    R-precision the share of v with x_v · y > x_v · y'  for every other prompt y'
                                                        arXiv 2112.01455, section 4
    p(k | x_v)  softmax_k (s x_v · y_k)                 arXiv 2103.00020, section 3.1

The **Janus proxy** counts the ranges of azimuths that CLIP takes for a front. It is a proxy: CLIP
was not trained to tell sides apart, and confuses those of some objects. Compare it with images.

CLIP's numbers can be compared only within one model, one number of views and one camera path, so
all of these stand beside the numbers. The towers are those of transformers' CLIPModel.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from gs_esd.cameras.view_names import VIEW_NAMES
from gs_esd.errors import UserError
from gs_esd.evaluation.janus import Faces, count_faces
from gs_esd.evaluation.vision_models import load_whole, prepare
from gs_esd.priors.hub.vision import (
    DEFAULT_CLIP,
    Preprocessing,
    VisionFiles,
    find_clip,
    read_preprocessing,
)

BATCH = 32
FRONT_PROBABILITY = 2 / 3
"""From it on an image counts as a front; up to 1 minus it, as something else."""


class Clip:
    """CLIP's image and text towers, frozen, in float32.

    Attributes:
        files: The files that it was loaded from.
        preprocessing: How images are resized, cropped and normalised.
        logit_scale: CLIP's inverse temperature, from cosines to logits; 100 for OpenAI's models.
    """

    def __init__(
        self, model: Any, tokenizer: Any, files: VisionFiles, preprocessing: Preprocessing
    ) -> None:
        """Wrap a CLIPModel and its CLIPTokenizer; `load` reads both from a path."""
        self._model = model
        self._tokenizer = tokenizer
        self.files = files
        self.preprocessing = preprocessing
        self.logit_scale = float(model.logit_scale.exp())

    @classmethod
    def load(
        cls, path: str = DEFAULT_CLIP, revision: str | None = None, device: str = "cpu"
    ) -> "Clip":
        """Load a CLIP from a folder or the Hub; see `find_clip`.

        Raises:
            UserError: as `find_clip` does, and for weights that are not those of a whole CLIP.
        """
        files = find_clip(path, revision)
        from transformers import CLIPModel, CLIPTokenizer

        model = load_whole(CLIPModel, files)
        tokenizer = CLIPTokenizer.from_pretrained(files.folder, local_files_only=True)
        return cls(model.to(device), tokenizer, files, read_preprocessing(files.folder))

    @torch.no_grad()
    def encode_images(self, images: Float[Tensor, "V H W 3"]) -> Float[Tensor, "V D"]:
        """Unit features of images, RGB in [0, 1] of any size, on the images' device."""
        features = [self._encode_batch(batch) for batch in images.split(BATCH)]
        return torch.cat(features).to(images)

    @torch.no_grad()
    def encode_prompts(self, prompts: list[str]) -> Float[Tensor, "P D"]:
        """Unit features of prompts, on the CPU.

        Logs a warning with the words of a prompt that exceed the model's context length.
        """
        from gs_esd.priors.text import tokenize

        length = self._model.config.text_config.max_position_embeddings
        ids, mask = tokenize(self._tokenizer, prompts, length)
        features = []
        for id_batch, mask_batch in zip(ids.split(BATCH), mask.split(BATCH), strict=True):
            device = self._model.device
            states = self._model.text_model(
                id_batch.to(device), attention_mask=mask_batch.to(device)
            )
            features.append(self._model.text_projection(states.pooler_output).cpu())
        return normalize(torch.cat(features), dim=1)

    def _encode_batch(self, images: Float[Tensor, "V H W 3"]) -> Float[Tensor, "V D"]:
        pixels = prepare(images.to(self._model.device), self.preprocessing)
        states = self._model.vision_model(pixels)
        return normalize(self._model.visual_projection(states.pooler_output), dim=1)


def clip_score(images: Float[Tensor, "V D"], prompt: Float[Tensor, " D"]) -> Float[Tensor, " V"]:
    """The CLIP score of each image, in [0, 100], from unit features."""
    return 100 * (images @ prompt).clamp(min=0)


def r_precision(
    images: Float[Tensor, "V D"], prompt: Float[Tensor, " D"], rivals: Float[Tensor, "P D"]
) -> float:
    """The share of images nearer to their own prompt than to any rival, in [0, 1].

    A tie counts as wrong, so that constant features score 0.

    Args:
        images: Unit features of images.
        prompt: The unit feature of their own prompt.
        rivals: Unit features of other prompts, without the own one.

    Raises:
        ValueError: there are no rivals.
    """
    if len(rivals) == 0:
        raise ValueError("R-precision needs at least one other prompt")
    nearest_rival = (images @ rivals.T).amax(dim=1)
    return float((images @ prompt > nearest_rival).float().mean())


def view_prompts(prompt: str) -> list[str]:
    """A description of each of VIEW_NAMES for `view_probabilities`: "front view of a corgi"."""
    return [f"{view} view of {prompt}" for view in VIEW_NAMES]


def view_probabilities(
    images: Float[Tensor, "V D"], descriptions: Float[Tensor, "K D"], logit_scale: float
) -> Float[Tensor, "V K"]:
    """CLIP's zero-shot classification of images by descriptions, from unit features."""
    return torch.softmax(logit_scale * images @ descriptions.T, dim=1)


def faces_proxy(probabilities: Float[Tensor, "V 3"]) -> Faces:
    """The Janus proxy: faces on a circle of images, as CLIP classifies them.

    Args:
        probabilities: Of VIEW_NAMES for images at evenly spaced azimuths, by `view_probabilities`.
            Images between the two limits of FRONT_PROBABILITY do not separate two fronts.
    """
    front = probabilities[:, VIEW_NAMES.index("front")]
    return count_faces(front >= FRONT_PROBABILITY, front <= 1 - FRONT_PROBABILITY)


@dataclass(frozen=True)
class ClipMeasures:
    """How well images match their prompt.

    Attributes:
        clip_backbone: The model, as the user named it.
        clip_revision: See `VisionFiles`.
        clip_score: Mean over the images.
        clip_score_lowest: That of the worst image.
        clip_r_precision: None where no rivals were given.
        clip_rivals: The number of other prompts; None likewise.
    """

    clip_backbone: str
    clip_revision: str
    clip_logit_scale: float
    clip_score: float
    clip_score_lowest: float
    clip_r_precision: float | None
    clip_rivals: int | None

    def as_line(self) -> dict[str, Any]:
        """The numbers by name, for a line of JSON, without those that are None."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Rivals:
    """The prompts that R-precision compares an object's own prompt with, and their features."""

    prompts: list[str]
    features: Float[Tensor, "P D"]

    @classmethod
    def read(cls, path: Path, clip: Clip) -> "Rivals":
        """Read prompts from a text file, one a line.

        Raises:
            UserError: the file cannot be read, or has no prompts.
        """
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, ValueError) as error:
            raise UserError(f"--rivals {path} cannot be read ({error})") from error
        prompts = [line.strip() for line in lines if line.strip()]
        if not prompts:
            raise UserError(f"--rivals {path} is empty: give a text file with one prompt a line")
        return cls(prompts, clip.encode_prompts(prompts))

    def without(self, prompt: str) -> Float[Tensor, "p D"]:
        """The features of all prompts but one; spaces and capitals do not count.

        Raises:
            UserError: no other prompt is left.
        """
        others = torch.tensor([_normalized(each) != _normalized(prompt) for each in self.prompts])
        if not others.any():
            raise UserError(f'--rivals holds no prompt but "{prompt}" itself: add wrong answers')
        return self.features[others]


def measure_prompt_match(
    clip: Clip, features: Float[Tensor, "V D"], prompt: str, rivals: Rivals | None
) -> ClipMeasures:
    """Measure how well images match a prompt, from the images' features.

    Raises:
        UserError: the rivals hold no other prompt.
    """
    own = clip.encode_prompts([prompt])[0]
    scores = clip_score(features, own)
    others = None if rivals is None else rivals.without(prompt)
    return ClipMeasures(
        clip_backbone=clip.files.path,
        clip_revision=clip.files.revision,
        clip_logit_scale=clip.logit_scale,
        clip_score=float(scores.mean()),
        clip_score_lowest=float(scores.min()),
        clip_r_precision=None if others is None else r_precision(features, own, others),
        clip_rivals=None if others is None else len(others),
    )


def count_faces_by_clip(clip: Clip, features: Float[Tensor, "V D"], prompt: str) -> Faces:
    """The Janus proxy of a prompt's images at evenly spaced azimuths, from their features."""
    descriptions = clip.encode_prompts(view_prompts(prompt))
    return faces_proxy(view_probabilities(features, descriptions, clip.logit_scale))


def _normalized(prompt: str) -> str:
    return " ".join(prompt.casefold().split())
