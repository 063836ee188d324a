"""Measures the time of a process from importing the rasterizer to the first gradients."""

import time

import torch

from benchmarks.rasterizer.scene import make_scene


def main() -> None:
    """Print seconds of processor time; torch is imported and initialised before."""
    torch.set_num_threads(1)
    scene = make_scene(100, 64, torch.Generator().manual_seed(0))
    for parameter in scene[:5]:
        parameter.requires_grad_()
    torch.autograd.grad(scene.means.sum(), scene.means)
    started = time.process_time()
    from gs_esd.render.cpu.rasterization import rasterization  # included in the measurement

    image, alphas, _ = rasterization(*scene)
    torch.autograd.grad(image.sum() + alphas.sum(), scene[:5])
    print(time.process_time() - started)


if __name__ == "__main__":
    main()
