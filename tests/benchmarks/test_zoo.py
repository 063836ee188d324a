"""The table of the zoo benchmark."""

from benchmarks.quality.zoo import Outcome, to_table


def test_table_counts_coherent_runs() -> None:
    outcomes = [
        Outcome("owl", 0, 0.0, 0.6, 20.0, 100, 10.0),
        Outcome("owl", 0, 1.0, 0.99, 28.0, 100, 10.0),
        Outcome("owl", 1, 1.0, 0.94, 24.0, 100, 10.0),
    ]
    table = to_table(outcomes)
    assert "| owl | 0.60 | 20.0 | 0.99 / 0.94 | 28.0 / 24.0 |" in table
    assert "λ=0: coherence ≥ 0.95 in 0 and ≤ 0.5 in 0 of 1 runs" in table
    assert "λ=1: coherence ≥ 0.95 in 1 and ≤ 0.5 in 0 of 2 runs" in table
