"""Yards for the verbs after training, made once and copied."""

import os
from pathlib import Path

import pytest

from tests.pipelines.yard import RECIPE, Yard, make_yard


@pytest.fixture(scope="session")
def evaluated_yard(tmp_path_factory: pytest.TempPathFactory) -> Yard:
    """Trained, tracked and evaluated. Not to be changed: copy it."""
    from pipelines import evaluate

    yard = make_yard(tmp_path_factory.mktemp("yard"))
    before = Path.cwd()
    os.chdir(yard.folder)
    try:
        evaluate.main([f"plan=build/plan/{RECIPE}.yaml"])
    finally:
        os.chdir(before)
    return yard
