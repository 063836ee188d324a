"""gsplat's densification works on the rasterizer's `info`."""

import pytest
import torch
from gsplat.strategy import DefaultStrategy

from gs_esd.render.cpu.rasterization import rasterization
from tests.helpers.rasterization_scenes import make_scene


@pytest.mark.parametrize("absgrad", [False, True])
def test_default_strategy_duplicates_splits_and_prunes(
    absgrad: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    scene = make_scene(60, 2, 32, 32)
    raw = {name: t.float() for name, t in scene.splats.items()}
    raw["scales"] = raw["scales"].log()
    raw["scales"][:30] -= 1.0  # small ones are duplicated, large ones split
    raw["opacities"] = raw["opacities"].logit()
    raw["opacities"][:5] = -8.0  # to be pruned
    params = torch.nn.ParameterDict(raw)
    optimizers = {name: torch.optim.Adam([p], lr=1e-3) for name, p in params.items()}
    strategy = DefaultStrategy(
        absgrad=absgrad,
        grow_grad2d=1e-6,
        refine_start_iter=1,
        refine_every=3,
        grow_scale3d=0.1,
        refine_scale2d_stop_iter=4,
        verbose=True,
    )
    strategy.check_sanity(params, optimizers)
    state = strategy.initialize_state(scene_scale=1.0)
    cameras = (scene.viewmats.float(), scene.Ks.float(), scene.width, scene.height)
    for step in range(8):
        image, _, info = rasterization(
            params["means"],
            params["quats"],
            params["scales"].exp(),
            params["opacities"].sigmoid(),
            params["colors"],
            *cameras,
            absgrad=absgrad,
        )
        strategy.step_pre_backward(params, optimizers, state, step, info)
        image.square().sum().backward()
        for optimizer in optimizers.values():
            optimizer.step()
            optimizer.zero_grad()
        strategy.step_post_backward(params, optimizers, state, step, info)
    printed = capsys.readouterr().out
    assert "Step 3" in printed
    assert "Step 6" in printed
    assert len(params["means"]) > 60
    first = printed.splitlines()[0]
    duplicated, split = int(first.split()[2]), int(first.split()[5])
    assert duplicated > 0
    assert split > 0
    pruned = int(printed.splitlines()[1].split()[2])
    assert pruned >= 5
