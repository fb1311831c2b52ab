"""How fast shuffled shards are read, beside a memory map of the same tensors and beside plain WebDataset.

python -m benchmarks.shards

(a) the training loader on packed shards against a shuffled numpy memory map, blocks of the same size;
(b) the same against the `webdataset` package with one sample a record, its usual shuffle buffer of 1000.
The sides take turns, round by round, and their medians are compared. Samples have the size of MNIST's: one
image of uint8 1x28x28 and an int64 label. One process, one thread; the files are in the page cache.
"""

import gzip
import tarfile
import tempfile
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from webdataset.compat import WebDataset

from benchmarks.side_by_side import medians_in_turn
from modules.configuration.schema.data_settings import DataSettings
from modules.configuration.schema.settings import read
from modules.datamodules.encodings import encode
from modules.datamodules.shard_loader import TrainingLoader
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_writer import write_shards

NUM_SAMPLES = 60_000
NUM_PLAIN_SAMPLES = 5_000
BATCH_SIZE = 128
BLOCK_STEPS = 32
ROUNDS = 9

DATA = {
    "name": "noise",
    "title": "Noise of MNIST's size",
    "source": {
        "_target_": "modules.sources.local_folder.LocalFolder",
        "name": "noise",
        "path": ".",
        "licence": "none",
    },
    "reader": {
        "_target_": "modules.datamodules.formats.idx.IdxReader",
        "splits": {"train": {"image": "images.gz", "label": "labels.gz"}},
    },
    "fields": {
        "image": {
            "dtype": "uint8",
            "shape": [1, 28, 28],
            "axes": ["channel", "height", "width"],
            "units": "grey level",
        },
        "label": {"dtype": "int64", "shape": [], "axes": [], "units": "class number"},
    },
    "splits": {},
    "samples_per_record": 1000,
}


def main() -> None:
    """Measure and print a table."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images, labels = write_raw(folder)
        write_shards(read(DataSettings, DATA), folder, folder / "shards")
        _write_plain(folder / "plain.tar", images, labels)
        loader = TrainingLoader(
            ShardSet.open(folder / "shards").split("train"), BATCH_SIZE, BLOCK_STEPS, seed=0
        )
        mapped = np.memmap(folder / "images.npy", np.uint8, "w+", shape=images.shape)
        mapped_labels = np.memmap(folder / "labels.npy", np.int64, "w+", shape=labels.shape)
        mapped[:], mapped_labels[:] = images, labels

        shards, memory_map = medians_in_turn(
            lambda: sum(block["label"].numel() for block in loader),
            lambda: _read_memory_map(mapped, mapped_labels),
            ROUNDS,
        )
        shards_again, plain = medians_in_turn(
            lambda: sum(block["label"].numel() for block in loader),
            lambda: _read_plain(folder / "plain.tar"),
            ROUNDS,
        )
    print("| shuffled reading | samples/s | beside it | samples/s | ratio | expected |")
    print("|---|---:|---|---:|---:|---:|")
    print(f"| shards | {shards:,.0f} | memory map | {memory_map:,.0f} | {shards / memory_map:.2f} | >= 0.5 |")
    ratio = shards_again / plain
    print(f"| shards | {shards_again:,.0f} | plain webdataset | {plain:,.0f} | {ratio:.0f} | >= 50 |")


def _read_memory_map(images: np.ndarray, labels: np.ndarray) -> int:
    order = np.random.default_rng().permutation(len(images))
    block = BATCH_SIZE * BLOCK_STEPS
    num_samples = 0
    for start in range(0, len(order), block):
        chosen = order[start : start + block]
        torch.from_numpy(images[chosen])
        num_samples += torch.from_numpy(labels[chosen]).numel()
    return num_samples


def _read_plain(path: Path) -> int:
    dataset = WebDataset(str(path), shardshuffle=False, empty_check=False)
    batches: Any = dataset.shuffle(1000).decode().to_tuple("image.npy", "label.npy").batched(BATCH_SIZE)
    num_samples = 0
    for images, labels in batches:
        torch.as_tensor(np.asarray(images))
        num_samples += torch.as_tensor(np.asarray(labels)).numel()
    return num_samples


def write_raw(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (NUM_SAMPLES, 1, 28, 28), np.uint8)
    labels = rng.integers(0, 10, NUM_SAMPLES)
    for name, array in (("images", images), ("labels", labels.astype(np.uint8))):
        header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
        (folder / f"{name}.gz").write_bytes(gzip.compress(header + array.tobytes(), 0))
    (folder / "source.json").write_text('{"name": "noise", "sha256": "", "licence": "none"}')
    return images, labels


def _write_plain(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    with tarfile.open(path, "w") as tar:
        for number in range(NUM_PLAIN_SAMPLES):
            for field, value in (("image", images[number]), ("label", labels[number])):
                content = encode(value, "npy")
                member = tarfile.TarInfo(f"{number:08d}.{field}.npy")
                member.size = len(content)
                tar.addfile(member, BytesIO(content))


if __name__ == "__main__":
    main()
