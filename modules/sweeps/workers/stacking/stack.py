"""A stack of members in the middle of training: program, masks and optimizer together."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from modules.sweeps.workers.stacking.dropout import Masks, dropouts
from modules.sweeps.workers.stacking.member import Member
from modules.sweeps.workers.stacking.optimizer import MemberOptimizer
from modules.sweeps.workers.stacking.program import Batch, StackedProgram


class Stack:
    """Steps all members at once.

    Args:
        members: with their initial weights.
        example: a batch such as will come.
        gradient_clip_norm: longest allowed gradient of a member; None = as it comes.
    """

    def __init__(self, members: Sequence[Member], example: Batch, gradient_clip_norm: float | None) -> None:
        tasks = [member.task for member in members]
        seeds = [member.seed for member in members]
        self._members = list(members)
        self._shared_batch = len(set(seeds)) == 1
        self._masks = Masks(seeds, [dropouts(task, example) for task in tasks])
        self._program = StackedProgram(tasks, self._shared_batch, gradient_clip_norm)
        self._optimizer = MemberOptimizer([member.plan for member in members], tasks)

    @property
    def initial_rates(self) -> list[float]:
        """Each member's learning rate before its schedule."""
        return self._optimizer.initial_rates

    def start_epoch(self, epoch: int) -> None:
        """Seeds each member's samples; epochs count from 0."""
        self._masks.start_epoch(epoch)

    def train(self, blocks: dict[int, Batch], first_step: int) -> Tensor:
        """Takes one step for each batch of a block.

        Args:
            blocks: by the seed that gave their order; fields are [steps, batch, ...].
            first_step: counted from 0.

        Returns:
            The losses, [steps, members].
        """
        losses = []
        num_steps = len(next(iter(next(iter(blocks.values())).values())))
        for number in range(num_steps):
            batch = self._batch(blocks, number)
            loss, gradients = self._program.step(batch, self._masks)
            self._optimizer.step(gradients, [member.factor(first_step + number) for member in self._members])
            losses.append(loss)
        return torch.stack(losses)

    def not_finite(self) -> list[int]:
        """The members that hold a weight which is not a finite number."""
        finite = [tensor.flatten(1).isfinite().all(1) for tensor in self._program.parameters]
        return torch.stack(finite).all(0).logical_not().nonzero().flatten().tolist()

    def keep(self, numbers: Sequence[int]) -> None:
        """Cuts all other members out."""
        self._members = [self._members[number] for number in numbers]
        self._masks.keep(numbers)
        self._optimizer.keep(numbers)
        self._program.keep(numbers)

    def state(self, number: int) -> dict[str, Any]:
        """All that a member's next step depends on, but for its place in the data."""
        weights = self._members[number].task.model.state_dict()
        return {
            "weights": {name: value.clone() for name, value in weights.items()},
            "optimizer": self._optimizer.state(number),
            "generator": self._masks.states()[number],
        }

    def restore(self, states: Sequence[dict[str, Any]]) -> None:
        """Goes on from what `state` gave of each member."""
        for number, (member, state) in enumerate(zip(self._members, states, strict=True)):
            member.task.model.load_state_dict(state["weights"])
            self._optimizer.restore(number, state["optimizer"])
        self._masks.restore([state["generator"] for state in states])

    def _batch(self, blocks: dict[int, Batch], number: int) -> Batch:
        if self._shared_batch:
            return {name: field[number] for name, field in next(iter(blocks.values())).items()}
        names = next(iter(blocks.values()))
        return {
            name: torch.stack([blocks[member.seed][name][number] for member in self._members])
            for name in names
        }
