"""Benchmark of the CPU rasterizer against torch and C: python -m benchmarks.rasterizer."""
