"""The parts of a training step, each timed alone, and the step's synchronisations with the GPU."""

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
    """The parts of a step by name; where a part needs another's gradient, it gets a random one."""
    components, stage = trainer.components, trainer.stage()
    views = trainer.draw_views()
    shape = (stage.views, stage.resolution, stage.resolution)
    images = torch.rand(*shape, 3).to(components.device).requires_grad_()
    with torch.no_grad():
        x_0 = components.prior.encode(images)
    eps = torch.randn(x_0.shape).to(x_0)
    noisy = noise_views(x_0, views, torch.full((stage.views,), -1.0).to(x_0), eps, progress=0.5)
    renderings_of_q = Renderings(images.detach(), images.detach()[..., :1], {})

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
        "predictions of p and q": lambda: components.predict(
            components.prior, components.variational, noisy, components.source.needed(noisy)
        ),
        "update of q": lambda: components.variational.update(
            renderings_of_q, x_0, views, noisy.log_snr
        ),
    }


def count_syncs(step: Callable[[], object]) -> dict[str, int]:
    """The number of synchronisations of a step with the GPU, gsplat's included.

    Under "syncs" the total, under "FILE:LINE" those of each line.
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
    return {"syncs": len(found), **lines}


@contextmanager
def without_renderer() -> Iterator[None]:
    """Render images of one colour, the Gaussians' mean, where gsplat is not available."""
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
    """Has the arguments and results of gsplat's `rasterization`."""
    n = len(viewmats)
    means2d = means[None, :, :2].repeat(n, 1, 1)
    rgb = (0.5 + colors.mean((0, 1)) + 0 * means2d.mean()).expand(n, height, width, 3)
    alpha = opacities.mean().expand(n, height, width, 1)
    radii = torch.zeros(n, len(means), 2, dtype=torch.int32, device=means.device)
    info = {"means2d": means2d, "radii": radii, "width": width, "height": height, "n_cameras": n}
    return rgb, alpha, info
