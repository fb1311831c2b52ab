"""A small dataset for the jobs of every test here."""

from pathlib import Path

import pytest

from tests.training.small import write_small_shards


@pytest.fixture(scope="session")
def small_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    write_small_shards(folder / "fashion_mnist")
    return folder
