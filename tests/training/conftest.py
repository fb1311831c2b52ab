"""Small datasets in real shards."""

from pathlib import Path

import pytest

from tests.training.small import write_small_messages, write_small_shards


@pytest.fixture(scope="session")
def small_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/shards/fashion_mnist with images that are quickly learned."""
    out = tmp_path_factory.mktemp("data") / "shards" / "fashion_mnist"
    write_small_shards(out)
    return out


@pytest.fixture(scope="session")
def small_messages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/shards/random_messages with as many samples as `small_shards`."""
    out = tmp_path_factory.mktemp("data") / "shards" / "random_messages"
    write_small_messages(out)
    return out
