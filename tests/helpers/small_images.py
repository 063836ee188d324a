"""Small images, cameras for them, and the ideal denoiser's formulas in float64."""

import torch
from torch import Tensor

from gs_esd.cameras.orbit import orbit_cameras
from gs_esd.cameras.views import Views
from gs_esd.render.renderings import Renderings
from gs_esd.system.device import Scalars
from gs_esd.variational.base import NeededPredictions, VariationalScore

BACKGROUND = (0.2, 0.5, 0.9)


def blobs(n: int, size: int, seed: int = 0) -> Tensor:
    """Soft discs of random colours, transparent around: premultiplied RGBA [n, 4, size, size]."""
    generator = torch.Generator().manual_seed(seed)
    place = 0.3 + 0.3 * torch.rand(n, 2, 1, 1, generator=generator)
    color = torch.rand(n, 3, 1, 1, generator=generator)
    opacity = 0.5 + 0.5 * torch.rand(n, 1, 1, 1, generator=generator)
    pixel = (torch.arange(size) + 0.5) / size
    distance_sq = (pixel - place[:, :1]).square() + (pixel[:, None] - place[:, 1:]).square()
    alpha = opacity * (10 * (0.3 - distance_sq.sqrt())).clamp(0, 1)
    return torch.cat([alpha * color, alpha], dim=1)


def views_from(
    azimuth: Tensor, background: tuple[float, float, float] = BACKGROUND, resolution: int = 8
) -> Views:
    """Cameras at the given azimuths, in radians, and elevation 0."""
    elevation = torch.zeros_like(azimuth)
    cameras = orbit_cameras(azimuth, elevation, distance=3.0, fov=0.7, resolution=resolution)
    return Views(cameras, torch.tensor(background))


def renderings_of(rgba: Tensor) -> Renderings:
    """Renderings of images [B, 4, H, W]."""
    channels_last = rgba.permute(0, 2, 3, 1)
    return Renderings(channels_last[..., :3], channels_last[..., 3:], {})


def branch(
    variational: VariationalScore, x_t: Tensor, log_snr: Tensor, views: Views, *, uncond: bool
) -> Tensor:
    """ε_ψ(∅) of every row, or ε_ψ(c) of every row."""
    needed = NeededPredictions(uncond=uncond, cond=not uncond)
    predictions = variational.predict_noise(x_t, log_snr, views, needed)
    return predictions.uncond if uncond else predictions.cond


def learn(variational: VariationalScore, x_0: Tensor, views: Views, level: float = 0.0) -> Scalars:
    """An update with renderings whose pixels do not matter, all needed at one noise level."""
    unseen = renderings_of(torch.zeros(len(x_0), 4, 8, 8))
    return variational.update(unseen, x_0, views, torch.full((len(x_0),), level))


def over(rgba: Tensor, background: Tensor) -> Tensor:
    """Composited images x_i in [-1, 1], in float64."""
    rgb, alpha = rgba[:, :3].double(), rgba[:, 3:].double()
    return 2 * (rgb + (1 - alpha) * background.double()[:, None, None]) - 1


def alpha_sigma_of(log_snr: Tensor) -> tuple[float, float]:
    """α and σ of one noise level: SNR = α² / σ² and α² + σ² = 1."""
    snr = float(log_snr.double().exp())
    return (snr / (1 + snr)) ** 0.5, (1 / (1 + snr)) ** 0.5


def posterior(x_t: Tensor, images: Tensor, log_snr: Tensor) -> Tensor:
    """p(i | x_t) [M] of one noisy image [C, h, w] among images [M, C, h, w], in float64."""
    alpha, sigma = alpha_sigma_of(log_snr)
    logits = [-float((x_t.double() - alpha * x).square().sum()) / (2 * sigma**2) for x in images]
    return torch.tensor(logits).double().softmax(0)


def exact_noise(x_t: Tensor, images: Tensor, log_snr: Tensor) -> Tensor:
    """ε = (x_t - α E[x_0 | x_t]) / σ of one noisy image, in float64."""
    alpha, sigma = alpha_sigma_of(log_snr)
    mean = torch.einsum("i,ichw->chw", posterior(x_t, images, log_snr), images.double())
    return (x_t.double() - alpha * mean) / sigma
