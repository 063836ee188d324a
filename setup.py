"""The packages of a wheel; all else is in pyproject.toml. conf/ becomes gs_esd/conf in it."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["gs_esd", "gs_esd.*", "viewer", "viewer.*"]), "gs_esd.conf"],
    package_dir={"gs_esd.conf": "conf"},
)
