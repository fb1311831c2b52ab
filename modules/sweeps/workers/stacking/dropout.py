"""Dropout of stacked trials: each member samples the very masks that it would sample alone.

A lone run on the CPU samples the mask of each dropout, in the order of the calls, from the global generator
that `RandomState` seeds at the start of each epoch. Here each member has a generator of its own with that
seed; the masks are sampled before the step and given to the program.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from modules.tasks.task import Task
from modules.training.random_state import stream_seed


@dataclass(frozen=True)
class Dropout:
    """One call of dropout.

    Attributes:
        shape: of what it thins out.
        probability: of an element to become zero.
    """

    shape: torch.Size
    probability: float


class MaskedDropout(TorchFunctionMode):
    """Dropout multiplies by given masks.

    Args:
        masks: for those of the calls to come that thin out anything, in their order.
        thins: whether each of the calls does.
    """

    def __init__(self, masks: Sequence[Tensor], thins: Sequence[bool]) -> None:
        super().__init__()
        self._masks = iter(masks)
        self._thins = iter(thins)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is functional.dropout:
            return self._dropout(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _dropout(self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        return input * next(self._masks) if training and next(self._thins) else input


class _Recorder(MaskedDropout):
    def __init__(self) -> None:
        super().__init__((), ())
        self.calls: list[Dropout] = []

    def _dropout(self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if training:
            if not input.is_contiguous():
                raise RuntimeError("the mask of a dropout over a permuted tensor is sampled in another order")
            self.calls.append(Dropout(input.shape, p))
        return input


def dropouts(task: Task, batch: dict[str, Tensor]) -> list[Dropout]:
    """The calls of dropout in one step of a task."""
    with _Recorder() as recorder, torch.no_grad():
        task.loss(batch)
    return recorder.calls


class Masks:
    """The masks of several members, step by step.

    Args:
        seeds: of each member.
        calls: of dropout in one step of each member.

    Attributes:
        axis: 0 where each member has masks of its own, None where all share them.
        thins: whether each call thins out anything in any member; for others there is no mask.
    """

    def __init__(self, seeds: Sequence[int], calls: Sequence[Sequence[Dropout]]) -> None:
        alike = all(seed == seeds[0] and own == calls[0] for seed, own in zip(seeds, calls, strict=True))
        self.axis = None if alike else 0
        self.seeds = list(seeds[:1] if alike else seeds)
        self._calls = [list(own) for own in (calls[:1] if alike else calls)]
        self._num_members = len(seeds)
        self.thins = [any(call.probability > 0 for call in of_all) for of_all in zip(*calls, strict=True)]
        self.generators = [torch.Generator() for _ in self.seeds]

    def start_epoch(self, epoch: int) -> None:
        """Seeds as `RandomState` does; epochs count from 0."""
        for seed, generator in zip(self.seeds, self.generators, strict=True):
            generator.manual_seed(stream_seed(seed, epoch + 1))

    def sample(self) -> list[Tensor]:
        """The masks of the next step, [...] where all members share them, else [members, ...]."""
        sampled = [
            [_mask(call, generator) for call, thins in zip(own, self.thins, strict=True) if thins]
            for own, generator in zip(self._calls, self.generators, strict=True)
        ]
        return (
            sampled[0] if self.axis is None else [torch.stack(masks) for masks in zip(*sampled, strict=True)]
        )

    def keep(self, members: Sequence[int]) -> None:
        """Forgets all other members."""
        self._num_members = len(members)
        if self.axis is not None:
            self.seeds = [self.seeds[member] for member in members]
            self._calls = [self._calls[member] for member in members]
            self.generators = [self.generators[member] for member in members]

    def states(self) -> list[Tensor]:
        """The state of each member's generator."""
        states = [generator.get_state() for generator in self.generators]
        return states * self._num_members if self.axis is None else states

    def restore(self, states: Sequence[Tensor]) -> None:
        """Goes on from what `states` gave."""
        for generator, state in zip(self.generators, states, strict=False):
            generator.set_state(state)


def _mask(call: Dropout, generator: torch.Generator) -> Tensor:
    # As at::dropout does it, so that generator and rounding agree: 0 and 1 sample nothing.
    mask = torch.empty(call.shape)
    if call.probability in (0.0, 1.0):
        return mask.fill_(1.0 - call.probability)
    return mask.bernoulli_(1 - call.probability, generator=generator).div_(1 - call.probability)
