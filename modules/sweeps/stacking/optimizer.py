"""One optimizer for all members: a group of parameters for each, with the numbers of its own plan.

The parameters are slices of stacked tensors, so any optimizer of torch steps each member exactly as it would
alone.
"""

from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from modules.configuration.targets import build
from modules.tasks.task import Task


class MemberOptimizer:
    """Steps all members, each with its own learning rate and the like.

    Args:
        plans: of the members; their optimizers are of one class.
        tasks: of the members.
    """

    def __init__(self, plans: Sequence[dict[str, Any]], tasks: Sequence[Task]) -> None:
        alone = [
            build(plan["optimizer"], params=task.model.parameters())
            for plan, task in zip(plans, tasks, strict=True)
        ]
        self._optimizer: Optimizer = alone[0]
        self._groups = [list(optimizer.param_groups) for optimizer in alone]
        for optimizer in alone[1:]:
            for group in optimizer.param_groups:
                self._optimizer.add_param_group(group)
        for group in self._optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self._parameters = [list(task.model.parameters()) for task in tasks]

    @property
    def initial_rates(self) -> list[float]:
        """Each member's learning rate before its schedule."""
        return [groups[0]["initial_lr"] for groups in self._groups]

    def step(self, gradients: Sequence[Tensor], factors: Sequence[float]) -> None:
        """Takes one step.

        Args:
            gradients: each [members, ...], in the order of the parameters.
            factors: of each member's learning rate.
        """
        for groups, factor in zip(self._groups, factors, strict=True):
            for group in groups:
                group["lr"] = group["initial_lr"] * factor
        for parameters, *own in zip(self._parameters, *(g.unbind() for g in gradients), strict=True):
            for parameter, gradient in zip(parameters, own, strict=True):
                parameter.grad = gradient
        self._optimizer.step()

    def keep(self, members: Sequence[int]) -> None:
        """Forgets all other members."""
        self._groups = [self._groups[member] for member in members]
        self._parameters = [self._parameters[member] for member in members]
        self._optimizer.param_groups = [group for groups in self._groups for group in groups]
        kept = {parameter for parameters in self._parameters for parameter in parameters}
        for parameter in [parameter for parameter in self._optimizer.state if parameter not in kept]:
            del self._optimizer.state[parameter]

    def state(self, member: int) -> list[dict[str, Any]]:
        """What the optimizer keeps of each parameter of a member."""
        return [dict(self._optimizer.state[parameter]) for parameter in self._parameters[member]]

    def restore(self, member: int, state: Sequence[dict[str, Any]]) -> None:
        """Goes on from what `state` gave."""
        for parameter, own in zip(self._parameters[member], state, strict=True):
            self._optimizer.state[parameter] = dict(own)
