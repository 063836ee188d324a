"""Measures of finished splats: Inception metrics, faces, CLIP scores, FID and KID.

Start at `gs_esd.evaluation.evaluate`. Nothing is imported here, as some modules need no torch.
"""
