"""Splats as raw parameters under gsplat's names, and how their number changes."""
