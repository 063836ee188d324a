"""Rank and number of processes from torchrun's environment variables, without importing torch."""

import os


def process_count() -> int:
    """The number of processes of this run; 1 without torchrun."""
    return _env_int("WORLD_SIZE", 1)


def process_rank() -> int:
    """The index of this process; only rank 0 writes files and prints messages."""
    return _env_int("RANK", 0)


def local_rank() -> int:
    """The index of this process on its machine, and of its GPU."""
    return _env_int("LOCAL_RANK", 0)


def _env_int(name: str, default: int) -> int:
    # Other launchers set some of these variables too, for other purposes.
    return int(os.environ[name]) if "TORCHELASTIC_RUN_ID" in os.environ else default
