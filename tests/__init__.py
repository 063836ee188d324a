"""Tests mirror the package; what they share is in tests/helpers."""

from tests.helpers import annotations as annotations  # for --jaxtyping-packages in pyproject.toml
