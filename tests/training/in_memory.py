"""A training split held in memory, in blocks: small enough for a test, with the interface of the shard
loader."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor


class TensorBlocks:
    """Blocks of shuffled batches; the order depends on seed and epoch alone, the place can be kept."""

    def __init__(self, fields: dict[str, Tensor], batch_size: int, block_steps: int, seed: int = 0) -> None:
        self.fields = fields
        self.num_samples = len(next(iter(fields.values())))
        self.batch_size = batch_size
        self.block_steps = block_steps
        self.seed = seed
        self.steps_per_epoch = self.num_samples // batch_size
        self.epoch = 0
        self.step = 0

    def __len__(self) -> int:
        return -(-self.steps_per_epoch // self.block_steps)

    def set_epoch(self, epoch: int) -> None:
        self.epoch, self.step = epoch, 0

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self.step = state["epoch"], state["step"]

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        generator = torch.Generator().manual_seed(1000 * self.seed + self.epoch)
        order = torch.randperm(self.num_samples, generator=generator)
        while self.step < self.steps_per_epoch:
            steps = min(self.block_steps, self.steps_per_epoch - self.step)
            rows = order[self.step * self.batch_size : (self.step + steps) * self.batch_size]
            self.step += steps
            yield {
                name: values[rows].reshape(steps, self.batch_size, *values.shape[1:])
                for name, values in self.fields.items()
            }


def pictures(num_samples: int, seed: int = 0) -> dict[str, Tensor]:
    """Pictures that can be learned: a bright square whose place is the class."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 128, (num_samples, 1, 28, 28), dtype=torch.uint8, generator=generator)
    label = torch.randint(0, 10, (num_samples,), generator=generator)
    for row, number in zip(image, label.tolist(), strict=True):
        row[0, 2 * number : 2 * number + 6, 4:24] += 100
    return {"image": image, "label": label}


class TensorBatches:
    """Every sample once, in order."""

    def __init__(self, fields: dict[str, Tensor], batch_size: int) -> None:
        self.fields = fields
        self.batch_size = batch_size
        self.num_samples = len(next(iter(fields.values())))

    def __len__(self) -> int:
        return -(-self.num_samples // self.batch_size)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for start in range(0, self.num_samples, self.batch_size):
            yield {name: values[start : start + self.batch_size] for name, values in self.fields.items()}
