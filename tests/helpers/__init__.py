"""Scenes, models, runs and pages that several tests use."""
