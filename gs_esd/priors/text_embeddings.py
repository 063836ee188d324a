"""What a text-conditioned denoiser is told of its prompts."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class TextEmbeddings:
    """Embedded prompts, a row each: R rows of L tokens of width D.

    pooled: one vector for a whole prompt, for the models that take it besides (Stable Diffusion 3).
    """

    tokens: Float[Tensor, "R L D"]
    pooled: Float[Tensor, "R E"] | None = None

    def __len__(self) -> int:
        """Number of rows R."""
        return len(self.tokens)

    def __getitem__(self, rows: slice | Int[Tensor, " S"]) -> "TextEmbeddings":
        """Some of the rows, in the given order."""
        return self._each(lambda embedding: embedding[rows])

    def expand(self, n: int) -> "TextEmbeddings":
        """A single row, n times; no memory is taken."""
        return self._each(lambda embedding: embedding.expand(n, *embedding.shape[1:]))

    def mixed(self, weights: Float[Tensor, "B R"]) -> "TextEmbeddings":
        """B weighted sums of the rows."""
        return self._each(lambda embedding: torch.einsum("br,r...->b...", weights, embedding))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "TextEmbeddings":
        pooled = None if self.pooled is None else change(self.pooled)
        return TextEmbeddings(change(self.tokens), pooled)


def concatenated(parts: list[TextEmbeddings]) -> TextEmbeddings:
    """The rows of all parts, one after the other; all have pooled vectors or none has."""
    pooled = [part.pooled for part in parts if part.pooled is not None]
    return TextEmbeddings(
        torch.cat([part.tokens for part in parts]), torch.cat(pooled) if pooled else None
    )
