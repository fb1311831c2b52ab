"""A copy of conf/ and of the code that a test may change."""

import shutil
from pathlib import Path

import pytest

from modules.configuration.static_analysis.definitions import ROOT


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A copy of conf/."""
    return Path(shutil.copytree(ROOT / "conf", tmp_path / "conf"))


@pytest.fixture
def code(tmp_path: Path) -> Path:
    """The root of a copy of modules/ and pipelines/."""
    for package in ("modules", "pipelines"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path
