"""Orders of ragged samples: buckets of equal length and streams, the same for any number of workers."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from modules.configuration.errors import UserError
from modules.configuration.schema.trainer_settings import OrderSettings
from modules.datamodules.blocks import Block
from modules.datamodules.bucketed_order import BucketedOrder
from modules.datamodules.epoch_order import EpochOrder
from modules.datamodules.shard_loader import TrainingLoader
from modules.datamodules.shard_split import ShardSplit
from modules.datamodules.vocabulary import BEGIN, END
from tests.datamodules.ragged_data import write_text

ALPHABET = "abcdefgh"
BUCKETED, STREAM = OrderSettings("bucketed"), OrderSettings("stream", window=5)


@pytest.fixture(scope="module")
def split(tmp_path_factory: pytest.TempPathFactory) -> ShardSplit:
    """90 documents of 1 to 40 letters."""
    rng = np.random.default_rng(1)
    texts = ["".join(rng.choice(list(ALPHABET), rng.integers(1, 41))) for _ in range(90)]
    vocabulary = {"kind": "characters", "size": 4 + len(ALPHABET)}
    return write_text(tmp_path_factory.mktemp("orders"), texts, vocabulary).split("train")


def batches(loader: TrainingLoader) -> list[dict[str, torch.Tensor]]:
    return [batch for block in loader for batch in unstacked(block)]


def unstacked(block: Block) -> list[dict[str, torch.Tensor]]:
    return [dict(zip(block, fields, strict=True)) for fields in zip(*block.values(), strict=True)]


def same(first: list[dict[str, torch.Tensor]], second: list[dict[str, torch.Tensor]]) -> bool:
    return len(first) == len(second) and all(
        a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
        for a, b in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("order", [OrderSettings(), BUCKETED, STREAM], ids=lambda order: order.kind)
@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_epoch_goes_on_in_its_middle(split: ShardSplit, order: OrderSettings, num_workers: int) -> None:
    whole = TrainingLoader(split, 8, 3, seed=4, order=order)
    first, second = batches(whole), batches(whole)
    assert not same(first, second)
    loader = TrainingLoader(split, 8, 2, seed=4, order=order, num_workers=num_workers)
    loader.load_state_dict({"epoch": 1, "step": 5})
    assert same(batches(loader), second[5:])


@pytest.mark.parametrize("order", [OrderSettings(), BUCKETED, STREAM], ids=lambda order: order.kind)
def test_workers_share_the_batches_of_one(split: ShardSplit, order: OrderSettings) -> None:
    alone = batches(TrainingLoader(split, 8, 3, seed=4, order=order))
    shares = [batches(TrainingLoader(split, 2, 3, 4, rank, 4, order=order)) for rank in range(4)]
    assert len(alone) == len(shares[0])
    for number, batch in enumerate(alone):
        rows = [row for share in shares for row in share[number]["text"]]
        lengths = torch.cat([share[number]["text_length"] for share in shares])
        assert torch.equal(lengths, batch["text_length"])
        for row, expected, length in zip(rows, batch["text"], lengths, strict=True):
            assert torch.equal(row[:length], expected[:length])


def test_buckets_hold_each_sample_once_and_little_padding() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(5, 201, 10_000)
    order = BucketedOrder(EpochOrder(10_000, 100, 0, 0), lengths, 64, 0, 0)
    numbers = order.numbers(0, 10_000 // 64 * 64)
    assert len(np.unique(numbers)) == len(numbers)
    of_batches = lengths[numbers].reshape(-1, 64)
    padded = of_batches.max(axis=1).sum() * 64
    assert 1 - of_batches.sum() / padded < 0.04
    # The order of batches tells nothing of their length.
    means = of_batches.mean(axis=1)
    assert abs(np.corrcoef(means[:-1], means[1:])[0, 1]) < 0.25
    assert order.numbers(130, 700).tolist() == numbers[130:700].tolist()


def test_a_stream_reads_every_document_through(split: ShardSplit) -> None:
    loader = TrainingLoader(split, 4, 3, seed=0, order=STREAM)
    strands: list[list[list[int]]] = [[] for _ in range(4)]
    for batch in batches(loader):
        assert batch["text"].shape == (4, 6)
        for strand, row, length, begins in zip(
            strands, batch["text"].tolist(), batch["text_length"].tolist(), batch["text_begins"], strict=True
        ):
            assert row[length:] == [0] * (6 - length)
            if begins:
                strand.append(row[:length])
            else:
                assert row[0] == strand[-1][-1], "the first step is what the last window ended with"
                strand[-1] += row[1:length]
    read = Counter(tuple(document) for strand in strands for document in strand)
    every = [row[:length].tolist() for row, length in _documents(split)]
    whole = [document for document in every if read[tuple(document)]]
    # At the ends of strands documents are cut; all others are read from begin to end.
    assert len(whole) >= len(every) - 2 * 4
    assert all(document[0] == BEGIN and document[-1] == END for document in whole)


def test_a_stream_is_refused_where_nothing_can_be_streamed(
    tmp_path: Path, shards: "object", split: ShardSplit
) -> None:
    fixed = shards(20).split("train")  # pyright: ignore[reportCallIssue]
    with pytest.raises(UserError, match=r"needs one field of differing length, and the data have 0"):
        TrainingLoader(fixed, 4, 1, 0, order=STREAM)
    with pytest.raises(UserError, match="all samples are of one size"):
        TrainingLoader(fixed, 4, 1, 0, order=BUCKETED)
    with pytest.raises(UserError, match="fewer windows than one batch of 1000"):
        TrainingLoader(split, 1000, 1, 0, order=STREAM)


def test_a_batch_above_max_tokens_is_refused_before_it_is_made(split: ShardSplit) -> None:
    longest = int(split.sizes("text").max())
    with pytest.raises(UserError, match=rf"has {longest} tokens.*max_tokens=100") as caught:
        TrainingLoader(split, 8, 1, 0, order=OrderSettings("bucketed", max_tokens=100))
    assert caught.value.hint == f"Set trainer.batch_size to {100 // longest} or less"
    with pytest.raises(UserError, match=r"8 windows of 5 steps are above trainer\.order\.max_tokens=40"):
        TrainingLoader(split, 8, 1, 0, order=OrderSettings("stream", window=5, max_tokens=40))
    TrainingLoader(split, 2, 1, 0, order=OrderSettings("bucketed", max_tokens=2 * longest))


def _documents(split: ShardSplit) -> list[tuple[np.ndarray, int]]:
    read = split.read(np.arange(split.num_samples))
    return list(zip(read["text"], read["text_length"], strict=True))
