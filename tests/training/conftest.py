"""A small dataset in real shards, and plans over it."""

import gzip
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from in_memory import pictures

from modules.configuration.compose import compose
from modules.configuration.fingerprint import code_fingerprint
from modules.configuration.settings import DataSettings, read
from modules.datamodules.shard_writer import write_shards

NUM_TRAINING = 960  # about 880 after the validation split


def small_plan(recipe: str, *overrides: str) -> dict[str, Any]:
    """A recipe over the small dataset: two epochs, checkpoints and points of the curves often."""
    plan = compose(
        [
            f"recipe={recipe}",
            "data=fashion_mnist",
            "trainer.max_epochs=2",
            "trainer.batch_size=16",
            "trainer.block_steps=4",
            "trainer.checkpoint_every_steps=8",
            "trainer.log_every_steps=5",
            "runtime.num_threads=1",
            "runtime.accelerator=cpu",
            "tracking=off",
            *overrides,
        ]
    )
    targets = [plan[section]["_target_"] for section in ("model", "task", "optimizer", "schedule")]
    plan["code"] = code_fingerprint([target for target in targets if target.startswith("modules.")])
    plan["cost"] = {"num_parameters": 0, "multiply_adds": 0}
    return plan


def write_idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">BBBB{array.ndim}i", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))


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
