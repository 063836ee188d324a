"""The table of particles and individuals."""

from benchmarks.quality.particles import Outcome, to_table


def test_table_counts_individuals_and_whole_particles() -> None:
    rest = {"animal": "corgi", "lambda_esd": 1.0, "psnrs_db": [20.0, 22.0], "seconds": 3.0}
    outcomes = [
        Outcome(seed=0, together=True, individuals=[0, 1], coherences=[1.0, 0.95], **rest),
        Outcome(seed=1, together=True, individuals=[2, 2], coherences=[0.99, 0.2], **rest),
        Outcome(seed=0, together=False, individuals=[3, 3], coherences=[0.1, 0.2], **rest),
    ]
    together, alone = to_table(outcomes).splitlines()[2:]
    assert together.startswith("| together | 1 | 2 | 1, 2 | 1.50 | 3 of 4 | 0.97 | 21.0 |")
    assert alone.startswith("| alone | 1 | 1 | 1 | 1.00 | 0 of 2 |")
