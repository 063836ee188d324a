"""The parts of a step, each to be timed alone, and how often a step waits for the GPU."""

import warnings
from collections.abc import Callable

import torch

from gs_esd.guidance.score_difference import noised
from gs_esd.render import Renderings, render
from gs_esd.trainer import Trainer


def parts_of_a_step(trainer: Trainer) -> dict[str, Callable[[], object]]:
    """What a step consists of, with gradients of their own where a part waits for another's."""
    parts, stage = trainer.parts, trainer.stage()
    views = trainer.draw_views()
    shape = (stage.views, stage.resolution, stage.resolution)
    images = torch.rand(*shape, 3).to(parts.device).requires_grad_()
    with torch.no_grad():
        x_0 = parts.prior.encode(images)
    eps = torch.randn(x_0.shape).to(x_0)
    noisy = noised(x_0, views, torch.full((stage.views,), -1.0).to(x_0), eps, progress=0.5)
    unseen = Renderings(images.detach(), images.detach()[..., :1], {})

    def rendering() -> None:
        renderings = render(parts.cloud, views.cameras)
        parts.densifier.before_backward(renderings.info, trainer.step)
        renderings.over(views.background).square().mean().backward()
        for optimizer in parts.optimizers.values():
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        parts.densifier.after_backward(renderings.info, trainer.step)

    def encoding() -> None:
        parts.prior.encode(images).backward(eps)
        images.grad = None

    return {
        "rendering and densification": rendering,
        "encoding and its gradient": encoding,
        "asking p and q": lambda: parts.ask(
            parts.prior, parts.rendered, noisy, parts.source.branches(noisy)
        ),
        "q learns": lambda: parts.rendered.update(unseen, x_0, views),
    }


def waits(step: Callable[[], object]) -> int:
    """How often a step on a GPU makes the program wait for it, gsplat's own waits among them."""
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(each.message) for each in caught)
