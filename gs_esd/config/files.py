"""Where the configuration files are: conf/ of a checkout, or its copy in an installed package."""

from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_INSTALLED = _PACKAGE / "conf"
IS_CHECKOUT = not _INSTALLED.is_dir()
"""Whether the package is used from its repository; a wheel carries conf/ inside, see setup.py."""
CONF = _PACKAGE.parent / "conf" if IS_CHECKOUT else _INSTALLED
"""The folder of config.yaml."""
