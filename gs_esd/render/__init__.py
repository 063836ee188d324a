"""Splats to images: gsplat on CUDA, the kernels of `render/cpu` on a CPU, one definition."""
