"""Optimiser steps on what each worker holds: shard by shard, with the optimiser's own kernels.

Of an optimiser that treats each number of a parameter by itself, a step of the shards is a shard of the step.
So it is taken on plain tensors, which share memory with the shards: its fused and its grouped kernels know
those.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from modules.configuration.errors import UserError
from modules.configuration.schema.sharding import ELEMENTWISE, not_elementwise
from modules.training.sharding.whole_tensors import local_of


def step_locally(optimizer: Optimizer) -> None:
    """Makes an optimiser of sharded parameters step on this worker's shards.

    Raises:
        UserError: its steps are not known to be those of the shards.
    """
    kind = type(optimizer)
    if kind not in [getattr(torch.optim, name) for name in ELEMENTWISE]:
        raise UserError(*not_elementwise(kind.__name__))
    _LocalSteps(optimizer)


class _LocalSteps:
    """Puts plain tensors in the place of an optimiser's parameters while it steps."""

    def __init__(self, optimizer: Optimizer) -> None:
        self._swapped: list[list[nn.Parameter]] = []
        optimizer.register_step_pre_hook(self._before)
        optimizer.register_step_post_hook(self._after)

    def _before(
        self, optimizer: Optimizer, given: tuple[Any, ...], named: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        # Lightning computes and clips gradients in the closure: they are the parameters' own.
        closure = given[1] if len(given) > 1 else named.get("closure")
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._swapped = [group["params"] for group in optimizer.param_groups]
        for group in optimizer.param_groups:
            group["params"] = [self._own(optimizer, parameter) for parameter in group["params"]]
        return (optimizer,), {} if closure is None else {"closure": lambda: loss}

    def _own(self, optimizer: Optimizer, parameter: nn.Parameter) -> nn.Parameter:
        """A plain parameter with the shard's memory, gradient and state."""
        own = nn.Parameter(local_of(parameter.detach()), parameter.requires_grad)
        own.grad = None if parameter.grad is None else local_of(parameter.grad)
        if parameter in optimizer.state:
            optimizer.state[own] = {key: _local(value) for key, value in optimizer.state[parameter].items()}
        return own

    def _after(self, optimizer: Optimizer, *_: Any) -> None:
        for group, parameters in zip(optimizer.param_groups, self._swapped, strict=True):
            for own, parameter in zip(group["params"], parameters, strict=True):
                if own in optimizer.state:
                    new, old = optimizer.state.pop(own), optimizer.state[parameter]
                    optimizer.state[parameter] = {
                        key: _shard(value, old.get(key), own, parameter) for key, value in new.items()
                    }
            group["params"] = parameters


def _local(value: Any) -> Any:
    return local_of(value) if isinstance(value, Tensor) else value


def _shard(value: Any, before: Any, own: nn.Parameter, parameter: nn.Parameter) -> Any:
    """What the optimiser keeps of a shard, as the shard of a tensor of the parameter's shape."""
    if not isinstance(parameter, DTensor) or not isinstance(value, Tensor) or value.shape != own.shape:
        return value
    if isinstance(before, DTensor) and local_of(before).data_ptr() == value.data_ptr() and value.numel():
        return before
    mesh, placements = parameter.device_mesh, parameter.placements
    shape, stride = parameter.shape, parameter.stride()
    return DTensor.from_local(value, mesh, placements, run_check=False, shape=shape, stride=stride)
