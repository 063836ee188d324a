"""Measurements. Before torch is imported, they set how its threads wait, as a run does."""

from gs_esd.system.threads import wait_passively

wait_passively()
