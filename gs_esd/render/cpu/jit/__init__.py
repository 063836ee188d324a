"""Compiler support of the CPU rasterizer: tracing to LLVM, SIMD types, threads, kernel cache.

Built on numba and llvmlite; knows nothing of rasterization. gs_esd.render.cpu imports it.
"""
