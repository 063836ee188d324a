"""The CPU rasterizer against torch and C."""
