"""The small dataset in real shards."""

import json
from pathlib import Path

import pytest

from modules.configuration.settings import DataSettings, read
from modules.datamodules.shard_writer import write_shards
from tests.training.small import NUM_TRAINING, pictures, small_plan, write_idx


@pytest.fixture(scope="session")
def small_shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/shards/fashion_mnist with pictures that are quickly learned."""
    root = tmp_path_factory.mktemp("data")
    data = small_plan("lenet")["data"]
    for number, (split, files) in enumerate(data["reader"]["splits"].items()):
        fields = pictures(NUM_TRAINING if split == "train" else 100, seed=number)
        write_idx(root / "raw" / files["image"], fields["image"].squeeze(1).numpy())
        write_idx(root / "raw" / files["label"], fields["label"].numpy())
    settings = read(DataSettings, {**data, "samples_per_record": 50}, "data")
    source = {"name": "fashion_mnist", "sha256": data["source"]["sha256"], "licence": "none", "files": {}}
    (root / "raw" / "source.json").write_text(json.dumps(source))
    out = root / "shards" / "fashion_mnist"
    write_shards(settings, root / "raw", out)
    return out
