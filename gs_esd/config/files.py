"""Where the configuration files are: conf/ of a checkout, or its copy in an installed package."""

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_INSTALLED = _PACKAGE / "conf"
CONF = _INSTALLED if _INSTALLED.is_dir() else _PACKAGE.parent / "conf"
"""The folder of config.yaml. A wheel carries conf/ inside the package, see pyproject.toml."""
