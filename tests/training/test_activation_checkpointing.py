"""Parts that keep no activations have the same gradients, random numbers and running statistics."""

import copy
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import Tensor, nn

from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.datamodules.shard_set import ShardSet
from modules.training.activation_checkpointing import recompute_activations
from modules.training.fit import fit
from tests.training.small import small_loader, small_plan
from tests.training.together import shown_together, train_together


class Part(nn.Module):
    """Normalised, with random zeros, and never called with fewer than two values."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Dropout(0.5))
        self.num_calls = 0

    def forward(self, values: Tensor, *, scale: float) -> tuple[Tensor, Tensor]:
        self.num_calls += 1
        return self.layers(values) * scale, values


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(Part() for _ in range(3))

    def forward(self, values: Tensor) -> Tensor:
        for part in self.parts:
            values, before = part(values, scale=0.5)
            values = values + before
        return values


def test_gradients_and_statistics_are_the_same() -> None:
    torch.manual_seed(0)
    plain = Net()
    net = copy.deepcopy(plain)
    recompute_activations(net, ["Part"])
    assert net.state_dict().keys() == plain.state_dict().keys()
    values = torch.randn(6, 4)
    for model in (plain, net):
        for number in range(3):
            torch.manual_seed(number)
            model(values).square().sum().backward()
    for (name, one), other in zip(plain.named_parameters(), net.parameters(), strict=True):
        assert one.grad is not None and other.grad is not None
        assert torch.equal(one.grad, other.grad), name
    for (name, one), other in zip(plain.named_buffers(), net.buffers(), strict=True):
        assert torch.equal(one, other), name
    assert [part.num_calls for part in net.parts] == [6, 6, 6]  # pyright: ignore
    with torch.no_grad():
        net(values)
    assert [part.num_calls for part in net.parts] == [7, 7, 7]  # pyright: ignore


def test_less_is_kept_for_the_backward_pass() -> None:
    def kept_bytes(model: nn.Module) -> int:
        sizes: list[int] = []

        def pack(tensor: Tensor) -> Tensor:
            sizes.append(tensor.nbytes)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            model(torch.randn(100, 4))
        return sum(sizes)

    plain, net = Net(), Net()
    recompute_activations(net, ["Part"])
    assert kept_bytes(net) < kept_bytes(plain) / 3


def test_a_part_that_is_not_there_is_one_line() -> None:
    with pytest.raises(UserError, match=r"Net has no part 'Dropuot'\. Did you mean Dropout"):
        recompute_activations(Net(), ["Linear", "Dropuot"])


def lenet_plan(parts: str, block_steps: int) -> Plan:
    return small_plan(
        "lenet",
        "model.dropout=0.4",
        "trainer.max_epochs=1",
        f"trainer.block_steps={block_steps}",
        f"trainer.activation_checkpointing={parts}",
    )


@pytest.mark.parametrize("block_steps", [1, 4])
def test_a_training_has_the_same_bits(block_steps: int, small_shards: Path, tmp_path: Path) -> None:
    weights = []
    for parts in ("[]", "[Sequential]"):
        plan = lenet_plan(parts, block_steps)
        loader = small_loader(plan, ShardSet.open(small_shards))
        task, _, _ = fit(plan, loader, None, tmp_path / parts / "last.ckpt", console=Console(quiet=True))
        weights.append(task.model.state_dict())
    assert all(torch.equal(weight, weights[1][name]) for name, weight in weights[0].items())


@pytest.mark.parametrize("block_steps", [1, 4])
def test_workers_sample_alike_when_they_compute_again(
    block_steps: int, small_shards: Path, tmp_path: Path
) -> None:
    weights = []
    for parts in ("[]", "[Sequential,Dropout]"):
        plan = lenet_plan(parts, block_steps)
        folder = tmp_path / parts
        assert train_together(plan, small_shards, folder, 2) == [0, 0], shown_together(folder, 2)
        weights.append(torch.load(folder / "weights.pt", weights_only=True))
    assert all(torch.equal(weight, weights[1][name]) for name, weight in weights[0].items())
