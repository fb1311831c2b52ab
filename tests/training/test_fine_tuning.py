"""Frozen parts keep their weights and statistics, unfreeze in time, and learn at rates of their own."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import nn

from modules.configuration.errors import UserError
from modules.configuration.schema.settings import FineTuningSettings
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.metrics.mean import Mean
from modules.models.adversarial.neural_cryptography import NeuralCryptography
from modules.models.feedforward.perceptron import Perceptron
from modules.models.parts import parts
from modules.shapes.shape_check import check_shapes
from modules.tasks.encryption import Encryption
from modules.tasks.step import Step
from modules.training.fine_tuning import Freezing, parameter_groups
from modules.training.fit import fit, initial_task
from tests.training.small import small_loader, small_plan


def no_loss(batch: dict[str, torch.Tensor]) -> Mean:
    raise NotImplementedError


def test_parts_from_the_input_upwards() -> None:
    model = Perceptron([1, 2, 2], 3, [4, 5])
    assert parts(model) == [model.hidden[0], model.hidden[1], model.output]


def test_rates_by_part() -> None:
    model = Perceptron([1, 2, 2], 3, [4, 5])
    model.hidden[1].requires_grad_(False)
    step = Step("train", list(model.parameters()), no_loss)
    groups = parameter_groups(model, step, lr=0.1, lr_decay=0.5)
    assert [group["lr"] for group in groups] == [0.1, pytest.approx(0.025)]
    assert groups[0]["params"] == list(model.output.parameters())
    assert groups[1]["params"] == list(model.hidden[0].parameters())


def test_each_steps_highest_part_learns_at_its_full_rate() -> None:
    model = NeuralCryptography(4)
    pair, eve = Encryption(model).steps()
    rates = {id(group["params"][0]): group["lr"] for group in parameter_groups(model, pair, 0.1, 0.5)}
    assert rates == {id(model.bob.mix.weight): 0.1, id(model.alice.mix.weight): 0.05}
    (group,) = parameter_groups(model, eve, 0.3, 0.5)
    assert group == {"params": list(model.eve.parameters()), "lr": 0.3}


def test_unfreezing_from_the_top() -> None:
    freezing = Freezing(Perceptron([1, 2, 2], 3, [4, 5]), FineTuningSettings(None, [], 2, 3))
    assert [freezing.num_frozen(epoch) for epoch in range(8)] == [2, 2, 2, 1, 1, 1, 0, 0]
    for_ever = Freezing(Perceptron([1, 2, 2], 3, [4, 5]), FineTuningSettings(None, [], 2))
    assert for_ever.num_frozen(1000) == 2


def test_a_frozen_part_is_left_alone_whole() -> None:
    model = nn.Sequential()
    model.add_module("body", nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2)))
    model.add_module("head", nn.Linear(2, 2))
    freezing = Freezing(model, FineTuningSettings(None, [], 2, 1))
    model.train()
    freezing.freeze(epoch=0)
    statistics = model.get_submodule("body.1")
    assert isinstance(statistics, nn.BatchNorm1d)
    model(torch.randn(4, 2)).sum().backward()
    assert statistics.running_mean is not None and not statistics.running_mean.any()
    assert model.get_submodule("body.0").weight.grad is None
    freezing.freeze(epoch=1)
    model(torch.randn(4, 2)).sum().backward()
    assert statistics.running_mean.any() and statistics.weight.grad is not None


@pytest.mark.parametrize("lr_decay", [1.0, 0.5])
def test_what_learns_when(lr_decay: float, small_shards: Path, tmp_path: Path) -> None:
    data = ShardSet.open(small_shards)

    def trained(num_epochs: int) -> dict[str, torch.Tensor]:
        plan = small_plan(
            "perceptron",
            f"trainer.max_epochs={num_epochs}",
            "schedule=constant",
            "fine_tuning.frozen_parts=2",
            "fine_tuning.unfreeze_every_epochs=1",
            f"fine_tuning.lr_decay={lr_decay}",
        )
        validation = EvaluationLoader(data.split("validation"), 50)
        checkpoint = tmp_path / "last.ckpt"  # each goes on where the last one stopped
        console = Console(quiet=True)
        task, _, _ = fit(plan, small_loader(plan, data), validation, checkpoint, console=console)
        return {name: value.clone() for name, value in task.model.state_dict().items()}

    states = [initial_task(small_plan("perceptron")).model.state_dict(), *map(trained, (1, 2, 3))]
    learned = [
        {name.rsplit(".", 2)[0] for name, value in after.items() if not torch.equal(value, before[name])}
        for before, after in pairwise(states)
    ]
    assert learned == [{"output"}, {"hidden.1", "output"}, {"hidden.0", "hidden.1", "output"}]


WAYS = {
    "short": [],
    "Lightning's": ["trainer.log_gradient_norms=true"],  # which listens to each step
    "in micro-batches": ["trainer.micro_batches=2"],
    "Lightning's, in micro-batches": ["trainer.log_gradient_norms=true", "trainer.micro_batches=2"],
}


@pytest.mark.parametrize("way", WAYS)
def test_what_learns_when_of_several_steps(way: str, small_messages: Path, tmp_path: Path) -> None:
    """Where all parts of a step are frozen, its turns change nothing."""
    data = ShardSet.open(small_messages)

    def trained(num_epochs: int) -> dict[str, torch.Tensor]:
        plan = small_plan(
            "neural_cryptography",
            f"trainer.max_epochs={num_epochs}",
            "schedule=constant",
            "fine_tuning.frozen_parts=2",
            "fine_tuning.unfreeze_every_epochs=1",
            "fine_tuning.lr_decay=0.5",
            *WAYS[way],
            data="random_messages",
        )
        checkpoint = tmp_path / "last.ckpt"
        task, _, _ = fit(plan, small_loader(plan, data), None, checkpoint, console=Console(quiet=True))
        return {name: value.clone() for name, value in task.model.state_dict().items()}

    plan = small_plan("neural_cryptography", data="random_messages")
    states = [initial_task(plan).model.state_dict(), *map(trained, (1, 2, 3))]
    learned = [
        {name.partition(".")[0] for name, value in after.items() if not torch.equal(value, before[name])}
        for before, after in pairwise(states)
    ]
    assert learned == [{"eve"}, {"bob", "eve"}, {"alice", "bob", "eve"}]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ["fine_tuning.frozen_parts=2"],
            "the step alice_and_bob would never learn. Freeze fewer, or let them",
        ),
        (
            ["fine_tuning.frozen_parts=2", "fine_tuning.unfreeze_every_epochs=2"],  # of two epochs
            "the step alice_and_bob would never learn. Freeze fewer, or let them",
        ),
        (["fine_tuning.frozen_parts=2", "fine_tuning.unfreeze_every_epochs=1"], ""),
        (["fine_tuning.frozen_parts=1"], ""),
    ],
)
def test_a_step_that_would_never_learn_is_said_by_the_plan(overrides: list[str], said: str) -> None:
    configuration = small_plan("neural_cryptography", *overrides, data="random_messages").configuration
    if not said:
        check_shapes(configuration)
        return
    with pytest.raises(UserError, match=said):
        check_shapes(configuration)


def test_nothing_left_to_learn_is_said_by_the_plan() -> None:
    with pytest.raises(
        UserError, match=r"has 3 parts \(DenseLayer, .*\): none would learn. Set it to 2 or le"
    ):
        check_shapes(small_plan("perceptron", "fine_tuning.frozen_parts=3").configuration)


def test_a_frozen_part_that_alone_would_learn_is_said_by_the_plan() -> None:
    task = (
        "task=contrastive_divergence",
        "~task.augmentation",
        "phases=null",
        "expected.metric=log_likelihood",
    )
    check_shapes(small_plan("dbn_digits", *task, "task.layer=1", "fine_tuning.frozen_parts=1").configuration)
    with pytest.raises(UserError, match="frozen_parts=1: no part of DeepBeliefNet above them would"):
        check_shapes(small_plan("dbn_digits", *task, "fine_tuning.frozen_parts=1").configuration)
