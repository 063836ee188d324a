"""gsplat's `rasterization` on the CPU, in numba; see README.md. Imports nothing else of gs_esd."""
