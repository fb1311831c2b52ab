"""Build folders for the tests of the report."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.report.trained_build import models, write_recipe


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build folder with two trained recipes; not to be changed."""
    build = tmp_path_factory.mktemp("trained") / "build"
    for name in models():
        write_recipe(build, name)
    return build


@pytest.fixture
def build(trained: Path, tmp_path: Path) -> Path:
    """A copy of the trained build folder, to change."""
    return Path(shutil.copytree(trained, tmp_path / "build"))


@pytest.fixture
def edit() -> Callable[[Path, dict], None]:
    """Overwrites keys of a JSON file."""

    def _edit(path: Path, changes: dict) -> None:
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return _edit
