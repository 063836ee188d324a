"""The CPU rasterizer, gsplat's `rasterization` in numba. Imports nothing else of gs_esd."""
