"""Splats as raw parameters under gsplat's names, their optimisers, and densification."""
