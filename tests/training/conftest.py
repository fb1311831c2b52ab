"""The small dataset in real shards."""

from pathlib import Path

import pytest

from tests.training.small import write_small_shards


@pytest.fixture(scope="session")
def small_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/shards/fashion_mnist with images that are quickly learned."""
    out = tmp_path_factory.mktemp("data") / "shards" / "fashion_mnist"
    write_small_shards(out)
    return out
