"""Which parts of a model are gathered by themselves."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from modules.training.sharding.sharded_blocks import blocks_of


class Block(nn.Module):
    """A residual block whose inner list of layers belongs to it."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))

    def forward(self, values: Tensor) -> Tensor:
        return values + self.layers(values)


class Stack(nn.Module):
    """Blocks, of which a test says how they run."""

    def __init__(self, run: Callable[["Stack", Tensor], Tensor]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(3))
        self.output = nn.Linear(8, 2)
        self.run = run

    def forward(self, values: Tensor) -> Tensor:
        return self.output(self.run(self, values))


def once(stack: Stack, values: Tensor) -> Tensor:
    for block in stack.blocks:
        values = block(values)
    return values


def twice(stack: Stack, values: Tensor) -> Tensor:
    return stack.blocks[1](once(stack, values))


def passed_over(stack: Stack, values: Tensor) -> Tensor:
    weight = stack.blocks[2].get_parameter("layers.0.weight")
    return once(stack, values) @ weight


def decayed(stack: Stack, values: Tensor) -> Tensor:
    return once(stack, values) + torch.stack([one.norm() for one in stack.blocks[0].parameters()]).sum()


def never(stack: Stack, values: Tensor) -> Tensor:
    return stack.blocks[0](values)


def found(model: nn.Module, min_size: int = 1) -> list[str]:
    return blocks_of(model, lambda: model(torch.ones(2, 8)), min_size)


@pytest.mark.parametrize(
    ("run", "expected"),
    [(once, [0, 1, 2]), (twice, [0, 2]), (passed_over, [0, 1]), (decayed, [1, 2]), (never, [0])],
)
def test_blocks_run_once_and_are_used_by_nobody_else(
    run: Callable[[Stack, Tensor], Tensor], expected: list[int]
) -> None:
    model = Stack(run)
    assert found(model) == [f"blocks.{number}" for number in expected]
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in model.modules())


def test_shared_weights_belong_to_no_block() -> None:
    model = Stack(once)
    tied = model.blocks[1].get_submodule("layers.0")
    assert isinstance(tied, nn.Linear)
    tied.weight = model.blocks[2].get_parameter("layers.2.weight")  # pyright: ignore[reportAttributeAccessIssue]
    assert found(model) == ["blocks.0"]


def test_stages_are_opened_and_small_parts_left() -> None:
    stages = nn.Sequential(
        nn.Sequential(Block(), Block()), nn.Sequential(nn.Linear(8, 8), nn.ReLU()), nn.Linear(8, 1)
    )
    assert found(stages) == ["1", "2", "0.0", "0.1"]
    assert found(stages, min_size=20) == ["1", "0.0", "0.1"]
    assert found(nn.Linear(8, 8)) == []
