"""Random streams: one generator per purpose, all derived from the run's seed.

With separate streams, drawing more numbers in one place changes no numbers elsewhere.
"""

import hashlib

import torch


def stream(seed: int, purpose: str) -> torch.Generator:
    """A CPU generator, seeded by the run's seed and a purpose such as "noise" or "bank"."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)
