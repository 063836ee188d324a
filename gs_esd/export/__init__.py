"""What leaves a run: splats, pictures and videos."""
