"""The blocks of training batches by the steps they hold; worker processes hold a copy of what makes them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.configuration.schema.trainer_settings import OrderSettings
from modules.datamodules.bucketed_order import BucketedOrder
from modules.datamodules.chosen_samples import ChosenSamples
from modules.datamodules.epoch_order import EpochOrder, ShardWindows
from modules.datamodules.ragged import EndToEnd, begins_of, length_of
from modules.datamodules.shard_split import ShardSplit
from modules.datamodules.stream_order import StreamOrder, num_windows

Span = tuple[int, int, int]
"""An epoch, the first step of a block in it, and the step after the block's last."""
Packed = dict[str, np.ndarray | EndToEnd]
"""Each field of some batches as it is read: stacked, [steps, batch, ...], or end to end."""
Block = dict[str, Any]
"""Each field of some batches: stacked, [steps, batch, ...], or one tensor a step where their sizes differ."""


@dataclass(frozen=True)
class Share:
    """Which samples of a step are this process's.

    Attributes:
        batch_size: samples of one step in this process.
        rank: which of `world_size` processes this is.
        world_size: how many processes train together.
    """

    batch_size: int
    rank: int = 0
    world_size: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.rank < self.world_size:
            raise ValueError(f"rank {self.rank} of {self.world_size} processes")

    @property
    def of_all(self) -> int:
        """Samples of one step over all processes."""
        return self.batch_size * self.world_size

    def of(self, numbers: np.ndarray) -> np.ndarray:
        """This process's part of [steps, samples of all], [steps, batch]."""
        first = self.rank * self.batch_size
        return numbers[:, first : first + self.batch_size]


class SampleBlocks(Dataset):
    """Blocks of whole samples, shuffled or in buckets of about equal length.

    Args:
        split: where the samples are.
        share: which of them are this process's.
        seed: of the run.
        settings: the order.

    Raises:
        UserError: the data have no length to sort by, or the longest batch is above `max_tokens`.
    """

    def __init__(
        self, split: ShardSplit | ChosenSamples, share: Share, seed: int, settings: OrderSettings
    ) -> None:
        self._split = split
        self._share = share
        self._seed = seed
        self._settings = settings
        self._bucketed = settings.kind == "bucketed"
        self._ragged = [name for name, field in split.fields.items() if field.symbols]
        self.num_steps = split.num_samples // share.of_all
        self._order: tuple[int, EpochOrder | BucketedOrder] | None = None
        if self._bucketed and not self._ragged:
            raise UserError(
                "trainer.order.kind=bucketed sorts by length, and all samples are of one size",
                "Set it to shuffled",
            )
        if self._bucketed:
            self._lengths()  # once for all workers, which are forked from this process
        if settings.max_tokens is not None and self._ragged:
            _check_longest(self._lengths(), share.batch_size, settings.max_tokens)

    def __getitem__(self, span: Span) -> Packed:
        epoch, start, stop = span
        share = self._share
        order = self._order_of(epoch)
        self._split.expect(lambda: self._coming(order, epoch, start * share.of_all))
        numbers = order.numbers(start * share.of_all, stop * share.of_all)
        return self._split.read_block(share.of(numbers.reshape(stop - start, share.of_all)))

    def _order_of(self, epoch: int) -> EpochOrder | BucketedOrder:
        if self._order is None or self._order[0] != epoch:
            order = _epoch_order(self._split, self._seed, epoch, self._settings)
            if self._bucketed:
                order = BucketedOrder(order, self._lengths(), self._share.of_all, self._seed, epoch)
            self._order = (epoch, order)
        return self._order[1]

    def _coming(self, order: EpochOrder | BucketedOrder, epoch: int, place: int) -> np.ndarray:
        """The first samples of the records that are read from a place on, to the end of the next epoch."""
        following = _epoch_order(self._split, self._seed, epoch + 1, self._settings)
        return np.concatenate([order.first_samples(place), following.first_samples(0)])

    def _lengths(self) -> np.ndarray:
        """What a batch is padded by: of the first ragged field the product of its sizes."""
        return self._split.sizes(self._ragged[0]).prod(axis=1)


class StreamBlocks(Dataset):
    """Blocks of windows of long samples, for truncated backpropagation through time; see `StreamOrder`.

    A batch has each window as `<field>` [batch, window + 1, ...], its steps as `<field>_length`, and
    `<field>_begins`, bool [batch]: where the state is reset.

    Args:
        split: where the samples are.
        share: which of them are this process's.
        seed: of the run.
        settings: the order.

    Raises:
        UserError: the data have no one field to stream.
    """

    def __init__(
        self, split: ShardSplit | ChosenSamples, share: Share, seed: int, settings: OrderSettings
    ) -> None:
        self._split = split
        self._share = share
        self._seed = seed
        self._settings = settings
        self._window = settings.window
        self._field = streamed_field(split.fields)
        lengths = split.sizes(self._field)[:, 0]
        self.num_steps = int(num_windows(lengths, settings.window).sum()) // share.of_all
        if settings.max_tokens is not None and (self._window + 1) * share.batch_size > settings.max_tokens:
            raise UserError(
                f"{share.batch_size} windows of {self._window} steps are above"
                f" trainer.order.max_tokens={settings.max_tokens}",
                "Lower trainer.batch_size or trainer.order.window",
            )
        self._order: tuple[int, StreamOrder] | None = None

    def __getitem__(self, span: Span) -> Packed:
        epoch, start, stop = span
        if self._order is None or self._order[0] != epoch:
            order = _epoch_order(self._split, self._seed, epoch, self._settings)
            lengths = self._split.sizes(self._field)[:, 0]
            self._order = (epoch, StreamOrder(order, lengths, self._share.of_all, self._window))
        windows = self._order[1].windows(start, stop)
        documents, offsets = self._share.of(windows.documents), self._share.of(windows.offsets)
        values, lengths = self._split.read_windows(self._field, documents, offsets, self._window + 1)
        return {
            self._field: values,
            length_of(self._field): lengths,
            begins_of(self._field): self._share.of(windows.begins).copy(),
        }


def _epoch_order(
    split: ShardSplit | ChosenSamples, seed: int, epoch: int, settings: OrderSettings
) -> EpochOrder:
    windows = None
    if settings.window_shards is not None:
        firsts = np.arange(0, split.num_samples, split.samples_per_record)
        windows = ShardWindows(split.shards_of(firsts), settings.window_shards)
    return EpochOrder(split.num_samples, split.samples_per_record, seed, epoch, windows)


def streamed_field(fields: Mapping[str, FieldSettings]) -> str:
    """The one field that is streamed: ragged by its first axis, and the only ragged one.

    Raises:
        UserError: there is none.
    """
    ragged = [name for name, field in fields.items() if field.symbols]
    if len(ragged) != 1 or not isinstance(fields[ragged[0]].shape[0], str):
        raise UserError(
            f"trainer.order.kind=stream needs one field of differing length, and the data have {len(ragged)}",
            "Set trainer.order.kind to shuffled or bucketed",
        )
    return ragged[0]


def unpacked(block: Packed) -> Block:
    """A block as it is trained on: tensors, and one for each step of what lies end to end."""
    out: Block = {}
    for name, field in block.items():
        if isinstance(field, EndToEnd):
            # From a worker they come as a tensor; NumPy's views of the same memory take a third of the time.
            values = np.asarray(field.values)
            out[name] = [torch.from_numpy(batch) for batch in EndToEnd(values, field.shapes).batches()]
        else:
            out[name] = torch.as_tensor(field)
    return out


def _check_longest(lengths: np.ndarray, batch_size: int, max_tokens: int) -> None:
    longest = int(lengths.max())
    if longest * batch_size > max_tokens:
        fits = max_tokens // longest
        raise UserError(
            f"the longest sample has {longest} tokens, and a batch of {batch_size} as long is above"
            f" trainer.order.max_tokens={max_tokens}",
            f"Set trainer.batch_size to {fits} or less" if fits else f"Set it to {longest} or more",
        )
