"""What torchrun tells a process that it started: which of how many it is. Knows no torch."""

import os


def process_count() -> int:
    """How many processes make this run together; 1 where torchrun did not start this one."""
    return _told("WORLD_SIZE", 1)


def process_rank() -> int:
    """Which of them this one is, from 0; only that one writes files and talks to the user."""
    return _told("RANK", 0)


def local_rank() -> int:
    """Which of those on this machine; its GPU has the same number."""
    return _told("LOCAL_RANK", 0)


def _told(name: str, alone: int) -> int:
    # Other launchers set some of these too, for purposes of their own.
    return int(os.environ[name]) if "TORCHELASTIC_RUN_ID" in os.environ else alone
