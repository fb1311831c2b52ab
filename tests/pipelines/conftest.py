"""Yards for the verbs after training, made once and copied."""

import os
from pathlib import Path

import pytest

from tests.pipelines.yard import AUTOENCODER, RECIPE, Yard, make_yard


@pytest.fixture(scope="session")
def evaluated_yard(tmp_path_factory: pytest.TempPathFactory) -> Yard:
    """Trained, tracked and evaluated. Not to be changed: copy it."""
    return evaluated(make_yard(tmp_path_factory.mktemp("yard")))


@pytest.fixture(scope="session")
def autoencoder_yard(tmp_path_factory: pytest.TempPathFactory) -> Yard:
    """The same of a task that serves values, not classes."""
    return evaluated(make_yard(tmp_path_factory.mktemp("autoencoder"), AUTOENCODER, "code_accuracy"))


def evaluated(yard: Yard) -> Yard:
    from pipelines import evaluate

    before = Path.cwd()
    os.chdir(yard.folder)
    try:
        evaluate.main([f"plan=build/plan/{RECIPE}.yaml"])
    finally:
        os.chdir(before)
    return yard
