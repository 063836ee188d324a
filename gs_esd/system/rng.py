"""Random numbers: one generator a purpose, all from one seed.

Separate streams keep what one part draws from changing what another part gets.
"""

import hashlib

import torch


def stream(seed: int, purpose: str) -> torch.Generator:
    """The CPU generator of a purpose ("noise", "bank", …) in the run with a seed."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)
