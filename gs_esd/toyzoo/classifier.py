"""Classifier of the zoo: a small network for the animal on an image and its view.

Notation
    A, V        animals of the zoo and VIEW_NAMES
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from gs_esd.cameras.view_names import VIEW_NAMES
from gs_esd.system.atomic import atomic_write
from gs_esd.toyzoo.animals.catalogue import ANIMALS
from gs_esd.toyzoo.training_images import SubjectImages, on_background

WEIGHTS_PATH = Path(__file__).parent / "classifier.pt"
"""Trained weights in this package."""
BATCH = 64
DEGRADED_SHARE = 0.5
"""Share of training images that go through `degrade`."""

Degrade = Callable[[Float[Tensor, "B 3 H W"]], Float[Tensor, "B 3 H W"]]


@dataclass(frozen=True)
class Labels:
    """Animal and view of each image: indices into ANIMALS (in their order) and VIEW_NAMES."""

    animals: Int[Tensor, " B"]
    views: Int[Tensor, " B"]


class ZooClassifier(nn.Module):
    """A convolutional network for images of 64² pixels in [-1, 1] on any plain background."""

    def __init__(self) -> None:
        """Create a network with random weights; `train_classifier` trains one."""
        super().__init__()
        widths = (3, 32, 64, 128, 192)
        self.features = nn.Sequential(
            *(_block(a, b) for a, b in pairwise(widths)),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
        )
        self.animal = nn.Linear(4 * widths[-1], len(ANIMALS))
        self.view = nn.Linear(4 * widths[-1], len(VIEW_NAMES))

    def forward(
        self, images: Float[Tensor, "B 3 H W"]
    ) -> tuple[Float[Tensor, "B A"], Float[Tensor, "B V"]]:
        """Logits of the animals and of the views."""
        features = self.features(images)
        return self.animal(features), self.view(features)

    def save(self, path: Path) -> None:
        """Write the weights, in half precision."""
        weights = {name: value.half() for name, value in self.state_dict().items()}
        with atomic_write(path) as partial:
            torch.save(weights, partial)

    @classmethod
    def load(cls, path: Path = WEIGHTS_PATH) -> "ZooClassifier":
        """Load what `save` wrote, in single precision and evaluation mode."""
        classifier = cls()
        weights = torch.load(path, map_location="cpu", weights_only=True)
        classifier.load_state_dict({name: value.float() for name, value in weights.items()})
        return classifier.eval()

    @torch.no_grad()
    def probabilities(self, images: Float[Tensor, "B 3 H W"]) -> Float[Tensor, "B AV"]:
        """Probabilities of every animal from every view, such as "a corgi from the back".

        Args:
            images: in [-1, 1], 64² pixels.

        Returns:
            The animal changes slowest; rows sum to one.
        """
        logits = [self(part) for part in images.split(BATCH)]
        animals, views = (torch.cat([both[i] for both in logits]).softmax(1) for i in range(2))
        return torch.einsum("ba,bv->bav", animals, views).flatten(1)

    @torch.no_grad()
    def classify(self, images: Float[Tensor, "B 3 H W"]) -> Labels:
        """Likeliest animal and view of each image in [-1, 1]."""
        logits = [self(part) for part in images.split(BATCH)]
        animals, views = (torch.cat([both[i] for both in logits]).argmax(1) for i in range(2))
        return Labels(animals, views)


def _block(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=2, padding=1), nn.GroupNorm(8, outputs), nn.SiLU()
    )


def train_classifier(
    zoo: list[SubjectImages], steps: int, degrade: Degrade, generator: torch.Generator
) -> ZooClassifier:
    """Train a classifier, half of the images degraded.

    Args:
        zoo: images to train on.
        steps: batches of 64 images.
        degrade: what a generator of images does to them at best, such as a codec's losses.
        generator: on the CPU, of all random numbers; torch's global one is seeded from it.
    """
    torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))  # initial weights
    classifier = ZooClassifier()
    optimizer = AdamW(classifier.parameters(), lr=2e-3)
    rate = OneCycleLR(optimizer, 2e-3, total_steps=steps)
    for _ in range(steps):
        images, truth = draw_labelled(zoo, BATCH, generator)
        half = torch.rand(BATCH, 1, 1, 1, generator=generator) < DEGRADED_SHARE
        animals, views = classifier(torch.where(half, degrade(images), images))
        loss = cross_entropy(animals, truth.animals) + cross_entropy(views, truth.views)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        rate.step()
    return classifier.eval()


def draw_labelled(
    zoo: list[SubjectImages], n: int, generator: torch.Generator
) -> tuple[Float[Tensor, "n 3 H W"], Labels]:
    """Draw `n` images in [-1, 1] of random subjects on random backgrounds, and their labels."""
    names = list(ANIMALS)
    rows, animals, views = [], [], []
    for index in torch.randint(len(zoo), (n,), generator=generator).tolist():
        subject = zoo[index]
        one = int(torch.randint(len(subject.rgba), (1,), generator=generator))
        rows.append(on_background(subject.rgba[one : one + 1], torch.rand(3, generator=generator)))
        animals.append(names.index(subject.subject.animal))
        views.append(subject.views[one])
    return torch.cat(rows), Labels(torch.tensor(animals), torch.stack(views))
