"""Time and memory of a training step with networks."""
