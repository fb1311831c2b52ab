"""How fast sequences of differing length are gathered and padded, and how much of a batch is padding.

python -m benchmarks.ragged

(a) the bucketed training loader on shards against torch's DataLoader with `pad_sequence` over the same
samples in memory, which is handed the same kind of batches by a sampler; (b) the share of a bucketed and of
a shuffled batch that is padding; (c) the loader's share of a step of a small LSTM. The sides take turns,
round by round, and their medians are compared. 100,000 sequences of 5 to 200 tokens, 64 a batch; one
process, one thread, and freed memory is kept in the process, as in every training.
"""

import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from benchmarks.side_by_side import medians_in_turn
from modules.configuration.schema.data_settings import DataSettings
from modules.configuration.schema.settings import read
from modules.configuration.schema.trainer_settings import OrderSettings
from modules.datamodules.bucketed_order import BucketedOrder
from modules.datamodules.epoch_order import EpochOrder
from modules.datamodules.shard_loader import TrainingLoader
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_writer import write_shards
from modules.models.recurrent.recurrent_classifier import RecurrentClassifier
from modules.training.runs.freed_memory import keep_freed_memory

NUM_SAMPLES = 100_000
BATCH_SIZE = 64
ROUNDS = 5
VOCAB = 200
BUCKETED = OrderSettings("bucketed")
DATA: dict[str, Any] = {
    "name": "noise",
    "title": "Noise of differing length",
    "source": {
        "_target_": "modules.sources.local_folder.LocalFolder",
        "name": "noise",
        "path": ".",
        "licence": "none",
    },
    "reader": {"_target_": "modules.datamodules.formats.text_files.TextFilesReader", "by_line": True},
    "fields": {
        "text": {
            "dtype": "int64",
            "shape": ["time"],
            "axes": ["time"],
            "units": "token",
            "vocabulary": {"kind": "characters", "size": VOCAB},
        }
    },
    "typical_sizes": {"time": 100},
    "splits": {},
    "samples_per_record": 1000,
}


def main() -> None:
    """Measure and print a table."""
    torch.set_num_threads(1)
    keep_freed_memory()
    with tempfile.TemporaryDirectory() as name:
        split = _shards(Path(name)).split("train")
        read_back = split.read(np.arange(NUM_SAMPLES))
        lengths = read_back["text_length"]
        in_memory = [
            torch.from_numpy(row[:length].copy())
            for row, length in zip(read_back["text"], lengths, strict=True)
        ]
        loader = TrainingLoader(split, BATCH_SIZE, 32, seed=0, order=BUCKETED)
        order = BucketedOrder(EpochOrder(NUM_SAMPLES, 1000, 0, 0), lengths, BATCH_SIZE, 0, 0)
        batches = order.numbers(0, NUM_SAMPLES // BATCH_SIZE * BATCH_SIZE).reshape(-1, BATCH_SIZE).tolist()
        others = DataLoader(in_memory, batch_sampler=batches, collate_fn=_padded)  # pyright: ignore
        ours, theirs = medians_in_turn(
            lambda: _count_blocks(loader), lambda: sum(len(text) for text, _ in others), ROUNDS
        )
        steps = _Steps(split)
        share = steps.loader_share()
    print("| what | measured | expected |\n|---|---:|---:|")
    print(f"| bucketed shards, samples/s | {ours:,.0f} | |")
    print(f"| DataLoader with pad_sequence, samples/s | {theirs:,.0f} | |")
    print(f"| ratio | {ours / theirs:.1f} | >= 10 |")
    print(f"| padding of a bucketed batch | {_padding(lengths[np.array(batches)]):.1%} | <= 10 % |")
    shuffled = EpochOrder(NUM_SAMPLES, 1000, 0, 0).numbers(0, len(batches) * BATCH_SIZE)
    print(f"| padding of a shuffled batch | {_padding(lengths[shuffled.reshape(-1, BATCH_SIZE)]):.1%} | |")
    print(f"| loader's share of a step of a small LSTM | {share:.2%} | <= 3 % |")


class _Steps:
    """Training steps of a small bidirectional LSTM."""

    def __init__(self, split: Any) -> None:
        torch.manual_seed(0)
        self.loader = TrainingLoader(split, BATCH_SIZE, 32, seed=0, order=BUCKETED)
        self.model = RecurrentClassifier(VOCAB, 3, embedding_size=64, hidden_size=64)
        self.optimizer = torch.optim.SGD(self.model.parameters(), 0.1)

    def loader_share(self) -> float:
        loading, stepping = 0.0, 0.0
        blocks = iter(self.loader)
        for _ in range(3):
            started = time.perf_counter()
            block = next(blocks)
            loaded = time.perf_counter()
            for tokens, length in zip(block["text"], block["text_length"], strict=True):
                self.optimizer.zero_grad()
                functional.cross_entropy(self.model(tokens, length), length % 3).backward()
                self.optimizer.step()
            loading += loaded - started
            stepping += time.perf_counter() - loaded
        return loading / (loading + stepping)


def _padded(samples: list[Tensor]) -> tuple[Tensor, Tensor]:
    return pad_sequence(samples, batch_first=True), torch.tensor([len(sample) for sample in samples])


def _count_blocks(loader: TrainingLoader) -> int:
    return sum(len(lengths) for block in loader for lengths in block["text_length"])


def _padding(lengths: np.ndarray) -> float:
    return 1 - lengths.sum() / (lengths.max(axis=1).sum() * lengths.shape[1])


def _shards(folder: Path) -> ShardSet:
    rng = np.random.default_rng(0)
    alphabet = np.array([chr(0x4E00 + number) for number in range(VOCAB - 4)])
    lines = ["".join(rng.choice(alphabet, length)) for length in rng.integers(3, 199, NUM_SAMPLES)]
    (folder / "texts.txt").write_text("\n".join(lines), encoding="utf-8")
    (folder / "source.json").write_text(json.dumps({"name": "noise", "sha256": "0" * 64, "licence": "none"}))
    data = read(DataSettings, DATA)
    write_shards(data, folder, folder / "shards")
    return ShardSet.open(folder / "shards", data)


if __name__ == "__main__":
    main()
