"""Inception metrics of the ESD paper: how much a view's class depends on the camera.

Notation
    V, K        views of one object, classes of a classifier
    p(k | x_c)  a classifier's probabilities of view c; rows sum to one
    H           entropy in nats

    IQ = E_c H(p(· | x_c))          inception quality, lower is better
    IV = H(E_c p(· | x_c))          inception variety, higher is better
    IG = (IV - IQ) / IQ             inception gain
    IV - IQ = I(class; camera)      what λ acts on, measured by a classifier

Source: arXiv 2401.00909, section 6; it is the Inception Score (arXiv 1606.03498) over the views of
one object, log IS = IV - IQ. A broken object, whose views fall into random classes, scores high
too: read the numbers beside images.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def inception_quality(probabilities: Float[Tensor, "V K"]) -> float:
    """IQ, in [0, log K]: mean entropy of a view's class; 0 is best."""
    return float(_entropy(_checked(probabilities)).mean())


def inception_variety(probabilities: Float[Tensor, "V K"]) -> float:
    """IV, in [0, log K]: entropy of the class over all views together."""
    return float(_entropy(_checked(probabilities).mean(0)))


def view_information(probabilities: Float[Tensor, "V K"]) -> float:
    """IV - IQ = I(class; camera), in [0, log min(V, K)]: 0 where all views are alike."""
    return inception_variety(probabilities) - inception_quality(probabilities)


def inception_gain(probabilities: Float[Tensor, "V K"]) -> float:
    """IG; infinite, or 0 / 0 = nan, where every view has one certain class (IQ = 0)."""
    quality = torch.tensor(inception_quality(probabilities), dtype=torch.float64)
    return float(view_information(probabilities) / quality)


def inception_metrics(probabilities: Float[Tensor, "V K"]) -> dict[str, float]:
    """All Inception metrics by name."""
    return {
        "inception_quality": inception_quality(probabilities),
        "inception_variety": inception_variety(probabilities),
        "inception_gain": inception_gain(probabilities),
        "view_information": view_information(probabilities),
    }


def _entropy(probabilities: Float[Tensor, "*V K"]) -> Float[Tensor, "*V"]:
    return torch.special.entr(probabilities).sum(-1)


def _checked(probabilities: Float[Tensor, "V K"]) -> Float[Tensor, "V K"]:
    """In float64, normalised. Raises ValueError for rows that are no distributions."""
    exact = probabilities.double()
    off = (exact.sum(1) - 1).abs().max()
    if not (exact.min() >= 0 and off < 1e-3):
        raise ValueError(f"rows must be distributions, got sums off by {float(off):.3g}")
    return exact / exact.sum(1, keepdim=True)
