"""Compiler support of the CPU rasterizer: tracing to LLVM, SIMD types, threads, kernel cache.

Built on numba and llvmlite, independent of rasterization.
"""
