"""The parts of a step, each to be timed alone, and how often a step waits for the GPU."""

import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor

from gs_esd.guidance.noisy_views import noise_views
from gs_esd.render.renderings import Renderings, render
from gs_esd.trainer import Trainer


def parts_of_a_step(trainer: Trainer) -> dict[str, Callable[[], object]]:
    """What a step consists of, with gradients of their own where a part waits for another's."""
    components, stage = trainer.components, trainer.stage()
    views = trainer.draw_views()
    shape = (stage.views, stage.resolution, stage.resolution)
    images = torch.rand(*shape, 3).to(components.device).requires_grad_()
    with torch.no_grad():
        x_0 = components.prior.encode(images)
    eps = torch.randn(x_0.shape).to(x_0)
    noisy = noise_views(x_0, views, torch.full((stage.views,), -1.0).to(x_0), eps, progress=0.5)
    unseen = Renderings(images.detach(), images.detach()[..., :1], {})

    def rendering() -> None:
        renderings = render(components.splats, views.cameras)
        components.densifier.step_pre_backward(trainer.step, renderings.info)
        renderings.over(views.background).square().mean().backward()
        for optimizer in components.optimizers.values():
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        components.densifier.step_post_backward(trainer.step, renderings.info)

    def encoding() -> None:
        components.prior.encode(images).backward(eps)
        images.grad = None

    return {
        "rendering and densification": rendering,
        "encoding and its gradient": encoding,
        "asking p and q": lambda: components.predict(
            components.prior, components.variational, noisy, components.source.needed(noisy)
        ),
        "q learns": lambda: components.variational.update(unseen, x_0, views),
    }


def waits(step: Callable[[], object]) -> dict[str, int]:
    """How often a step on a GPU makes the program wait for it, gsplat's own waits among them.

    Under "waits"; under "FILE:LINE", how many of them are there.
    """
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    found = [each for each in caught if "synchroniz" in str(each.message)]
    lines = Counter(f"{Path(each.filename).name}:{each.lineno}" for each in found)
    return {"waits": len(found), **lines}


@contextmanager
def without_renderer() -> Iterator[None]:
    """Inside, renderings are of one colour, the Gaussians' mean: for where gsplat cannot be had."""
    with (
        patch("gs_esd.render.gsplat_build.load"),
        patch("gs_esd.render.renderings._backend", lambda means: _mean_colors),
    ):
        yield


def _mean_colors(
    *,
    means: Tensor,
    opacities: Tensor,
    colors: Tensor,
    viewmats: Tensor,
    width: int,
    height: int,
    **unused: Any,
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """Takes and gives what gsplat's `rasterization` does."""
    n = len(viewmats)
    means2d = means[None, :, :2].repeat(n, 1, 1)
    rgb = (0.5 + colors.mean((0, 1)) + 0 * means2d.mean()).expand(n, height, width, 3)
    alpha = opacities.mean().expand(n, height, width, 1)
    radii = torch.zeros(n, len(means), 2, dtype=torch.int32, device=means.device)
    info = {"means2d": means2d, "radii": radii, "width": width, "height": height, "n_cameras": n}
    return rgb, alpha, info
