"""How a rendering differs from a photograph: the loss of the fit, and PSNR.

Notation
    B, h, w     images, pixels down and across
    images      [B, 3, h, w], RGB over a background
    rgba        [B, 4, h, w], premultiplied, in [0, 1]
"""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import conv2d

from gs_esd.registration.search import MIN_MSE

MSE_WEIGHT, L1_WEIGHT, SSIM_WEIGHT = 4.0, 0.2, 0.02
SSIM_WINDOW = 5
"""Pixels a side of the window, which is uniform."""
SSIM_C1, SSIM_C2 = 0.01**2, 0.03**2
GREY = 0.5
OBJECT_ALPHA = 0.05
"""Pixels where a photograph or its rendering has more alpha belong to the object."""


def over(
    rgba: Float[Tensor, "B 4 h w"], background: Float[Tensor, "3"]
) -> Float[Tensor, "B 3 h w"]:
    """Composite premultiplied images over a solid background, RGB in [0, 1]."""
    return rgba[:, :3] + (1 - rgba[:, 3:]) * background[:, None, None]


def photometric_loss(
    images: Float[Tensor, "B 3 h w"], targets: Float[Tensor, "B 3 h w"]
) -> Float[Tensor, ""]:
    """Weighted sum of squared error, absolute error and 1 - SSIM.

    SSIM is of the first image alone: of all it would take as long as rendering and everything else.
    """
    error = images - targets
    return (
        MSE_WEIGHT * error.square().mean()
        + L1_WEIGHT * error.abs().mean()
        + SSIM_WEIGHT * (1 - ssim(images[:1], targets[:1]))
    )


def ssim(a: Float[Tensor, "B 3 h w"], b: Float[Tensor, "B 3 h w"]) -> Float[Tensor, ""]:
    """Mean structural similarity (Wang et al. 2004) in uniform windows within the images."""
    moments = _window_means(torch.stack([a, b, a * a, b * b, a * b]))
    mean_a, mean_b, square_a, square_b, product = moments
    variances = (square_a - mean_a.square()) + (square_b - mean_b.square())
    covariance = product - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + SSIM_C1) / (mean_a.square() + mean_b.square() + SSIM_C1)
    return (luminance * (2 * covariance + SSIM_C2) / (variances + SSIM_C2)).mean()


def _window_means(maps: Float[Tensor, "5 B 3 h w"]) -> Float[Tensor, "5 B 3 u v"]:
    """Means of all windows, by a depthwise convolution: avg_pool2d takes 7 times as long."""
    channels = maps.flatten(0, 2)[None]
    n, side = channels.shape[1], SSIM_WINDOW
    kernel = torch.full((n, 1, side, side), 1 / side**2).to(maps)
    return conv2d(channels, kernel, groups=n)[0].unflatten(0, maps.shape[:3])


def frame_psnr(
    rgba: Float[Tensor, "B 4 h w"], targets: Float[Tensor, "B 4 h w"]
) -> Float[Tensor, " B"]:
    """PSNR in decibels of each image over grey, of the whole frame."""
    return _decibels(_squared_error(rgba, targets).mean(dim=(1, 2)))


def object_psnr(
    rgba: Float[Tensor, "B 4 h w"], targets: Float[Tensor, "B 4 h w"]
) -> Float[Tensor, " B"]:
    """PSNR in decibels of each image over grey, where the object is in either."""
    is_object = (torch.maximum(rgba[:, 3], targets[:, 3]) > OBJECT_ALPHA).to(rgba)
    error = (_squared_error(rgba, targets) * is_object).sum(dim=(1, 2))
    return _decibels(error / is_object.sum(dim=(1, 2)).clamp(min=1))


def _squared_error(
    rgba: Float[Tensor, "B 4 h w"], targets: Float[Tensor, "B 4 h w"]
) -> Float[Tensor, "B h w"]:
    """Of pixels over grey, the mean over channels, with colours as they are shown."""
    grey = torch.full((3,), GREY).to(rgba)
    shown = over(rgba, grey).clamp(0, 1)
    return (shown - over(targets, grey)).square().mean(dim=1)


def _decibels(mse: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    return -10 * mse.clamp(min=MIN_MSE).log10()
