"""What a trace is made of: bricks that ran, and what tensors come from."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from modules.shapes.symbols import Shape

_CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict)


@dataclass
class Call:
    """A brick that ran: its shapes at the first call, its multiply-adds over all calls."""

    path: str
    brick: str
    module: nn.Module
    inputs: list[Shape]
    outputs: list[Shape]
    multiply_adds: float = 0
    num_calls: int = 1


@dataclass(frozen=True)
class Node:
    """What tensors come from: a field of the batch, a brick, or an operation that joins several tensors."""

    kind: str
    name: str
    path: str = ""


def is_brick(module: nn.Module) -> bool:
    """Whether a module is shown as one box: a brick, a layer of torch, or anything without parts."""
    origin = type(module).__module__
    if origin.startswith("modules.bricks."):
        return True
    if origin.startswith("torch.nn."):
        return not isinstance(module, _CONTAINERS)
    return not any(True for _ in module.children())


def tensors(value: Any) -> Iterator[Tensor]:
    """All tensors in a value, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors(item)
