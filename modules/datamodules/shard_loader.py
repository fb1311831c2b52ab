"""Feed a model from shards: shuffled blocks of batches for training, every sample once for evaluation.

A step of an epoch takes `batch_size * world_size` samples, the same ones however many processes share them;
rank `r` gets the `r`-th slice. A whole block of steps is gathered at once, because for small samples the
calls cost more than the bytes. The order (shuffled, by length, or as a stream) is a pure function of seed
and epoch, so the place to go on at is two integers, and neither the number of workers nor the size of
blocks changes what comes or when.
"""

import functools
import signal
import time
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from modules.configuration.errors import UserError
from modules.configuration.schema.trainer_settings import OrderSettings
from modules.datamodules.blocks import Block, Packed, SampleBlocks, Share, Span, StreamBlocks, unpacked
from modules.datamodules.chosen_samples import ChosenSamples
from modules.datamodules.shard_split import ShardSplit

SHUFFLED = OrderSettings()
MAX_PADDED = 2**17
"""About the most places (tokens, pixels) of a ragged field in a batch of an evaluation."""


class TrainingLoader:
    """Blocks of [steps, batch, ...] from a split, one epoch for each iteration, for ever.

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
        order: of the samples; by default shuffled.

    Attributes:
        seconds_waited: for blocks, so far.

    Raises:
        UserError: if the split hasn't enough samples for one batch, or cannot be put into that order.
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
        order: OrderSettings = SHUFFLED,
    ) -> None:
        kind = StreamBlocks if order.kind == "stream" else SampleBlocks
        self._blocks = kind(split, Share(batch_size, rank, world_size), seed, order)
        self.block_steps = block_steps
        self.num_workers = num_workers
        self.steps_per_epoch = self._blocks.num_steps
        self.epoch = 0
        self.next_step = 0
        self.seconds_waited = 0.0
        self._split = split
        if self.steps_per_epoch == 0:
            stream = order.kind == "stream"
            found = "fewer windows" if stream else f"{split.num_samples} samples, fewer"
            hint = f"Set trainer.batch_size to {split.num_samples} or less"
            raise UserError(
                f"the split {split.name!r} has {found} than one batch of {batch_size * world_size}",
                "Lower trainer.batch_size or trainer.order.window" if stream else hint,
            )
        if max_steps is not None:
            self.steps_per_epoch = min(self.steps_per_epoch, max_steps)

    def __len__(self) -> int:
        """Blocks of a whole epoch."""
        return -(-self.steps_per_epoch // self.block_steps)

    def __iter__(self) -> Iterator[Block]:
        """The blocks that are left of this epoch; each field has the leading axes [steps, batch], or is a
        list of a tensor a step where their sizes differ."""
        spans = self._spans()
        blocks = self._read_ahead(spans) if self.num_workers else map(self._blocks.__getitem__, spans)
        for epoch, _, stop in spans:
            asked_s = time.perf_counter()
            block = next(blocks)
            self.seconds_waited += time.perf_counter() - asked_s
            # What the consumer holds is consumed: a state taken while it works goes on after this block.
            self._go_to(epoch, stop)
            yield unpacked(block)

    @property
    def bytes_fetched(self) -> int:
        """From a mirror, by this process and the workers."""
        return self._split.bytes_fetched

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

    def _read_ahead(self, spans: list[Span]) -> Iterator[Packed]:
        # A generator of its own: torch's loader would otherwise sample from the run's and change its course.
        return iter(
            DataLoader(
                self._blocks,
                batch_size=None,
                sampler=spans,
                num_workers=self.num_workers,
                worker_init_fn=_leave_interrupts_to_the_main_process,
                generator=torch.Generator(),
            )
        )


def _leave_interrupts_to_the_main_process(worker: int) -> None:
    """Ctrl-C reaches all of a terminal's processes; the one that trains decides when its workers end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


class EvaluationLoader:
    """Every sample of a split once, over all processes together, in a fixed order.

    Each process takes one run of neighbouring samples; the runs differ in length by one at most.

    Args:
        split: where the samples are.
        batch_size: samples at a time; the last batch may have fewer, and so have those of long samples.
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
        return len(self._starts) - 1

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """Batches of every field and of `index`, the samples' numbers in the source."""
        for start, stop in pairwise(self._starts):
            read = self._split.read(np.arange(start, stop))
            yield {name: torch.from_numpy(array) for name, array in read.items()}

    @functools.cached_property
    def _starts(self) -> list[int]:
        """Where batches start, and where the last one ends."""
        ragged = [name for name, field in self._split.fields.items() if field.symbols]
        if not ragged:
            return [*range(self._first, self._stop, self.batch_size), self._stop]
        sizes = [self._split.sizes(name)[self._first : self._stop].prod(axis=1) for name in ragged]
        starts, longest = [self._first], 0
        for number, length in enumerate(np.max(sizes, axis=0).tolist(), self._first):
            longest = max(longest, length)
            count = number + 1 - starts[-1]
            if count > 1 and (count > self.batch_size or count * longest > MAX_PADDED):
                starts.append(number)
                longest = length
        return [*starts, self._stop]
