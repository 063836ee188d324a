"""Inception metrics by a classifier of photographs, such as one of ImageNet.

Notation
    V, K        images, classes
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gs_esd.evaluation.information import inception_metrics
from gs_esd.evaluation.vision_models import load_whole, prepare
from gs_esd.priors.hub.vision import Preprocessing, VisionFiles, find_classifier, read_preprocessing

BATCH = 32


class ImageClassifier:
    """A frozen image classifier of transformers (AutoModelForImageClassification)."""

    def __init__(self, model: Any, files: VisionFiles, preprocessing: Preprocessing) -> None:
        """Wrap a model in memory; `load` reads one from a path."""
        self._model = model
        self.files = files
        self.preprocessing = preprocessing

    @classmethod
    def load(cls, path: str, revision: str | None = None) -> "ImageClassifier":
        """Load a classifier from a folder or the Hub; see `find_classifier`.

        Raises:
            UserError: as `find_classifier` does, and where weights are missing.
        """
        files = find_classifier(path, revision)
        from transformers import AutoModelForImageClassification

        model = load_whole(AutoModelForImageClassification, files)
        return cls(model, files, read_preprocessing(files.folder))

    @torch.no_grad()
    def probabilities(self, images: Float[Tensor, "V H W 3"]) -> Float[Tensor, "V K"]:
        """Class probabilities p(k | x) of images, RGB in [0, 1] of any size."""
        batches = images.split(BATCH)
        logits = [self._model(prepare(batch, self.preprocessing)).logits for batch in batches]
        return torch.cat(logits).softmax(1)


def measure_with_classifier(
    classifier: ImageClassifier, renderings: Float[Tensor, "V H W 3"]
) -> dict[str, Any]:
    """Inception metrics of renderings all around an object, and what they were made with."""
    probabilities = classifier.probabilities(renderings)
    return {
        "classifier": classifier.files.path,
        "classifier_revision": classifier.files.revision,
        "classes": probabilities.shape[1],
        "views": len(renderings),
        **inception_metrics(probabilities),
    }
