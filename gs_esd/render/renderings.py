"""`render(splats, cameras)`: gsplat on CUDA, gs_esd/render/cpu on a CPU, one interface.

Both produce the same image (gsplat 1.5.3's), and the `info` that its strategies need.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import ParameterDict

from gs_esd.cameras.orbit import Cameras
from gs_esd.render import gsplat_build
from gs_esd.render.compositing import composite
from gs_esd.render.cpu.rasterization import rasterization
from gs_esd.splats.parameters import activate


@dataclass(frozen=True)
class Renderings:
    """B renderings without a background.

    Attributes:
        rgb: colours premultiplied by alpha (over black), at least 0; 1 is white.
        alpha: opacity in [0, 1].
        info: gsplat's intermediate results; `means2d` [B, N, 2] has its gradient after backward.
        depth: in world units behind the plane through the origin that faces the camera, weighted
            as colours are, so 0 where nothing is; None unless it was rendered.
    """

    rgb: Float[Tensor, "B H W 3"]
    alpha: Float[Tensor, "B H W 1"]
    info: dict[str, Any]
    depth: Float[Tensor, "B H W 1"] | None = None

    def over(self, background: Float[Tensor, "3"]) -> Float[Tensor, "B H W 3"]:
        """Composite the renderings over a solid background, RGB in [0, 1]."""
        return composite(self.rgb, self.alpha, background)


def concatenate(renderings: Sequence[Renderings]) -> Renderings:
    """Renderings of several sets of splats as one batch, without `info` and depth unless of one."""
    if len(renderings) == 1:
        return renderings[0]
    rgb, alpha = (torch.cat([getattr(r, name) for r in renderings]) for name in ("rgb", "alpha"))
    return Renderings(rgb, alpha, {})


def render(splats: ParameterDict, cameras: Cameras, *, with_depth: bool = False) -> Renderings:
    """Render splats from every camera; differentiable in all parameters of the splats.

    Args:
        splats: raw parameters as in gs_esd/splats/parameters.py, on the cameras' device.
        cameras: B cameras.
        with_depth: render depth too, as a fourth channel.
    """
    activated = activate(splats)
    channels, alpha, info = _backend(activated.means)(
        means=activated.means,
        quats=activated.quats,
        scales=activated.scales,
        opacities=activated.opacities,
        colors=activated.colors,
        viewmats=cameras.viewmats,
        Ks=cameras.Ks,
        width=cameras.width,
        height=cameras.height,
        sh_degree=activated.sh_degree,
        packed=False,
        render_mode="RGB+D" if with_depth else "RGB",
    )
    if info["means2d"].requires_grad:
        info["means2d"].retain_grad()
    if not with_depth:
        return Renderings(channels, alpha, info)
    of_origin = cameras.viewmats[:, 2, 3][:, None, None, None]
    return Renderings(channels[..., :3], alpha, info, channels[..., 3:] - alpha * of_origin)


def _backend(tensor: Tensor) -> Any:
    if not tensor.is_cuda:
        return rasterization
    return gsplat_build.load().rasterization
