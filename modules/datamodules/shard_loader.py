"""Feed a model from shards: shuffled blocks of batches for training, every sample once for evaluation.

A step of an epoch takes `batch_size * world_size` samples, the same ones however many processes share them;
rank `r` gets the `r`-th slice. A whole block of steps is gathered at once, because for small samples the
calls cost more than the bytes. The order is a pure function of seed and epoch, so the place to go on at is
two integers, and neither the number of workers nor the size of blocks changes what comes or when.
"""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from modules.configuration.errors import UserError
from modules.datamodules.chosen_samples import ChosenSamples
from modules.datamodules.epoch_order import EpochOrder
from modules.datamodules.shard_set import ShardSplit

Span = tuple[int, int, int]
"""An epoch, the first step of a block in it, and the step after the block's last."""


class TrainingLoader:
    """Shuffled blocks of [steps, batch, ...] from a split, one epoch for each iteration, for ever.

    An iteration goes from the present place to the end of its epoch; the next one begins the epoch after it.
    Samples that don't fill a last batch are left out of that epoch; other ones are the next time.

    Args:
        split: where the samples are.
        batch_size: samples of one step in this process.
        block_steps: optimiser steps in one block; the last of an epoch may have fewer.
        seed: of the run.
        rank: which of `world_size` processes this is.
        world_size: how many processes train together.
        num_workers: processes that read ahead; 0 reads in this one.
        max_steps: an epoch has no more steps than that.

    Raises:
        UserError: if the split hasn't enough samples for one batch.
    """

    def __init__(
        self,
        split: ShardSplit | ChosenSamples,
        batch_size: int,
        block_steps: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
        num_workers: int = 0,
        max_steps: int | None = None,
    ) -> None:
        self._blocks = _Blocks(split, batch_size, seed, rank, world_size)
        self.block_steps = block_steps
        self.num_workers = num_workers
        self.steps_per_epoch = split.num_samples // (batch_size * world_size)
        self.epoch = 0
        self.next_step = 0
        if self.steps_per_epoch == 0:
            raise UserError(
                f"the split {split.name!r} has {split.num_samples} samples, fewer than one batch of "
                f"{batch_size * world_size}",
                f"Set trainer.batch_size to {split.num_samples} or less",
            )
        if max_steps is not None:
            self.steps_per_epoch = min(self.steps_per_epoch, max_steps)

    def __len__(self) -> int:
        """Blocks of a whole epoch."""
        return -(-self.steps_per_epoch // self.block_steps)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """The blocks that are left of this epoch; each field has the leading axes [steps, batch]."""
        spans = self._spans()
        blocks = self._read_ahead(spans) if self.num_workers else map(self._blocks.__getitem__, spans)
        for (epoch, _, stop), block in zip(spans, blocks, strict=True):
            # What the consumer holds is consumed: a state taken while it works goes on after this block.
            self._go_to(epoch, stop)
            yield block

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of an epoch, unless the loader is somewhere in it already."""
        if epoch != self.epoch:
            self.epoch, self.next_step = epoch, 0

    def state_dict(self) -> dict[str, int]:
        """The place of the next sample: its epoch and step, whatever was read ahead."""
        return {"epoch": self.epoch, "step": self.next_step}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go to a place; the next iteration begins there.

        Raises:
            UserError: if the split has no such place.
        """
        epoch, step = state["epoch"], state["step"]
        if epoch < 0 or not 0 <= step <= self.steps_per_epoch:
            raise UserError(
                f"a checkpoint at epoch {epoch}, step {step} is beyond its {self.steps_per_epoch} steps",
                "Train again: the data or the batch size have changed",
            )
        self._go_to(epoch, step)

    def _go_to(self, epoch: int, step: int) -> None:
        ended = step == self.steps_per_epoch
        self.epoch, self.next_step = (epoch + 1, 0) if ended else (epoch, step)

    def _spans(self) -> list[Span]:
        """The blocks that are left of the epoch. Their borders are where an uninterrupted epoch has them."""
        first_block = self.next_step // self.block_steps
        starts = [block * self.block_steps for block in range(first_block, len(self))]
        return [
            (self.epoch, max(start, self.next_step), min(start + self.block_steps, self.steps_per_epoch))
            for start in starts
        ]

    def _read_ahead(self, spans: list[Span]) -> Iterator[dict[str, Tensor]]:
        # A generator of its own: torch's loader would otherwise sample from the run's and change its course.
        return iter(
            DataLoader(
                self._blocks,
                batch_size=None,
                sampler=spans,
                num_workers=self.num_workers,
                generator=torch.Generator(),
            )
        )


class _Blocks(Dataset):
    """The blocks of any epoch by their span; worker processes hold a copy of it."""

    def __init__(
        self, split: ShardSplit | ChosenSamples, batch_size: int, seed: int, rank: int, world_size: int
    ) -> None:
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} of {world_size} processes")
        self._split = split
        self._batch_size = batch_size
        self._seed = seed
        self._rank = rank
        self._world_size = world_size
        self._order: tuple[int, EpochOrder] | None = None

    def __getitem__(self, span: Span) -> dict[str, Tensor]:
        epoch, start, stop = span
        if self._order is None or self._order[0] != epoch:
            order = EpochOrder(self._split.num_samples, self._split.samples_per_record, self._seed, epoch)
            self._order = (epoch, order)
        all_ranks = self._batch_size * self._world_size
        numbers = self._order[1].numbers(start * all_ranks, stop * all_ranks)
        mine = numbers.reshape(stop - start, self._world_size, self._batch_size)[:, self._rank].ravel()
        arrays = self._split.read(mine, index=False)
        return {
            name: torch.from_numpy(array).unflatten(0, (stop - start, self._batch_size))
            for name, array in arrays.items()
        }


class EvaluationLoader:
    """Every sample of a split once, over all processes together, in a fixed order.

    Each process takes one run of neighbouring samples; the runs differ in length by one at most.

    Args:
        split: where the samples are.
        batch_size: samples at a time; the last batch may have fewer.
        rank: which of `world_size` processes this is.
        world_size: how many processes evaluate together.
    """

    def __init__(self, split: ShardSplit, batch_size: int, rank: int = 0, world_size: int = 1) -> None:
        self._split = split
        self.batch_size = batch_size
        self._first = split.num_samples * rank // world_size
        self._stop = split.num_samples * (rank + 1) // world_size

    def __len__(self) -> int:
        """Batches that this process gets."""
        return -(-(self._stop - self._first) // self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """Batches of every field and of `index`, the samples' numbers in the source."""
        for start in range(self._first, self._stop, self.batch_size):
            numbers = np.arange(start, min(start + self.batch_size, self._stop))
            yield {name: torch.from_numpy(array) for name, array in self._split.read(numbers).items()}
