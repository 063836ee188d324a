"""Toy zoo: ray-traced procedural animals, whose images are a closed-form image prior.

`prompt` and `captions` need no torch, so that wrong prompts fail at once.
"""
