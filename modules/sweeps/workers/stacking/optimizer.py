"""One optimizer for all members: a group of parameters for each, with the numbers of its own plan.

The parameters are slices of stacked tensors, so any optimizer of torch steps each member exactly as it would
alone. For small members `Optimizer.step` spends four fifths of its time on looking up state and sorting
tensors; where it would end in torch's fused kernels, these are called with the lists that its first step
left.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from modules.configuration.plans.run_plan import Plan
from modules.configuration.static_analysis.targets import build
from modules.tasks.task import Task

_KERNELS = torch.ops.aten
Kernel = Callable[[list[Tensor]], None]
"""Steps one member by its gradients."""


class MemberOptimizer:
    """Steps all members, each with its own learning rate and the like.

    Args:
        plans: of the members; their optimizers are of one class.
        tasks: of the members.
    """

    def __init__(self, plans: Sequence[Plan], tasks: Sequence[Task]) -> None:
        alone = [
            build(plan.optimizer, params=task.model.parameters())
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
        self._kernels: list[Kernel] = []

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
        of_members = zip(*(gradient.unbind() for gradient in gradients), strict=True)
        if self._kernels:
            with torch.no_grad():
                for kernel, own in zip(self._kernels, of_members, strict=True):
                    kernel(list(own))
            return
        for parameters, own in zip(self._parameters, of_members, strict=True):
            for parameter, gradient in zip(parameters, own, strict=True):
                parameter.grad = gradient
        self._optimizer.step()
        self._optimizer.zero_grad()
        self._kernels = self._fused_kernels()

    def keep(self, members: Sequence[int]) -> None:
        """Forgets all other members."""
        self._groups = [self._groups[member] for member in members]
        self._parameters = [self._parameters[member] for member in members]
        self._optimizer.param_groups = [group for groups in self._groups for group in groups]
        kept = {parameter for parameters in self._parameters for parameter in parameters}
        for parameter in [parameter for parameter in self._optimizer.state if parameter not in kept]:
            del self._optimizer.state[parameter]
        self._kernels = []

    def state(self, member: int) -> list[dict[str, Any]]:
        """What the optimizer keeps of each parameter of a member."""
        return [dict(self._optimizer.state[parameter]) for parameter in self._parameters[member]]

    def restore(self, member: int, state: Sequence[dict[str, Any]]) -> None:
        """Goes on from what `state` gave."""
        for parameter, own in zip(self._parameters[member], state, strict=True):
            self._optimizer.state[parameter] = dict(own)
        self._kernels = []

    def _fused_kernels(self) -> list[Kernel]:
        """The kernel of each member, if the optimizer has one."""
        make = {SGD: self._fused_sgd, Adam: self._fused_adam, AdamW: self._fused_adam}.get(
            type(self._optimizer)
        )
        if make is None or not all(len(groups) == 1 and groups[0]["fused"] for groups in self._groups):
            return []
        return [
            make(parameters, group)
            for parameters, (group,) in zip(self._parameters, self._groups, strict=True)
        ]

    def _states(self, parameters: Sequence[Tensor], name: str) -> list[Tensor]:
        return [self._optimizer.state[parameter][name] for parameter in parameters]

    def _fused_adam(self, parameters: Sequence[Tensor], group: dict[str, Any]) -> Kernel:
        decoupled = isinstance(self._optimizer, AdamW) or group.get("decoupled_weight_decay", False)
        kernel = _KERNELS._fused_adamw_.default if decoupled else _KERNELS._fused_adam_.default
        steps = self._states(parameters, "step")
        means = self._states(parameters, "exp_avg")
        squares = self._states(parameters, "exp_avg_sq")
        largest = self._states(parameters, "max_exp_avg_sq") if group["amsgrad"] else []
        beta1, beta2 = group["betas"]

        def step(gradients: list[Tensor]) -> None:
            _KERNELS._foreach_add_.Scalar(steps, 1)
            kernel(
                parameters,
                gradients,
                means,
                squares,
                largest,
                steps,
                amsgrad=group["amsgrad"],
                lr=group["lr"],
                beta1=beta1,
                beta2=beta2,
                weight_decay=group["weight_decay"],
                eps=group["eps"],
                maximize=group["maximize"],
            )

        return step

    def _fused_sgd(self, parameters: Sequence[Tensor], group: dict[str, Any]) -> Kernel:
        buffers = self._states(parameters, "momentum_buffer") if group["momentum"] else []

        def step(gradients: list[Tensor]) -> None:
            _KERNELS._fused_sgd_.default(
                parameters,
                gradients,
                buffers,
                weight_decay=group["weight_decay"],
                momentum=group["momentum"],
                lr=group["lr"],
                dampening=group["dampening"],
                nesterov=group["nesterov"],
                maximize=group["maximize"],
                is_first_step=False,
            )

        return step
