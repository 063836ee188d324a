"""One run in its run directory: checkpoints, logs, results, and reading them back."""
