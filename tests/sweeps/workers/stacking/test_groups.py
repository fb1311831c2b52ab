"""What can train as one program, and what cannot."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from modules.models.feedforward.perceptron import Perceptron
from modules.sweeps.workers.stacking import groups, probe, stack_groups, stack_size
from modules.tasks.classification import Classification
from tests.sweeps.workers.stacking.trials import plan
from tests.training.small import small_plan

RANDOM_SHIFT = "{_target_: modules.bricks.augmentation.RandomShift, max_shift_px: 1}"


@pytest.fixture(autouse=True)
def nothing_known() -> Iterator[None]:
    groups._tried.clear()
    yield
    groups._tried.clear()


def test_numbers_stack_and_structure_does_not() -> None:
    plans = [
        plan("optimizer.lr=0.1"),
        plan("optimizer.lr=0.1", "model.hidden_sizes=[17]"),
        plan("optimizer.lr=0.2", "seed=4"),
        plan("optimizer.lr=0.1", "model.activation=tanh"),
        plan("optimizer.weight_decay=0", "model.hidden_sizes=[17]"),
        plan("trainer.max_epochs=3"),
        plan("optimizer=sgd"),
    ]
    assert stack_groups(plans) == [[0, 2], [1, 4], [3], [5], [6]]


def test_an_integer_among_floats_is_a_number() -> None:
    plans = [plan(f"task.label_smoothing={epsilon}") for epsilon in ("0", "0.3", "0")]
    assert stack_groups(plans) == [[0, 1, 2]]
    assert stack_groups([plan(f"model.hidden_sizes=[{size}]") for size in (10, 11)]) == [[0], [1]]


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (["trainer.precision=bf16-mixed"], "in 32 bits"),
        (["trainer.precision=64-true"], "in 32 bits"),
        (["runtime=ray", "runtime.num_workers=2"], "in one process"),
        ([f"task.augmentation={RANDOM_SHIFT}"], "random operation"),
    ],
)
def test_refuses(overrides: list[str], reason: str) -> None:
    plans = [plan(*overrides, f"optimizer.lr={lr}") for lr in (0.1, 0.2)]
    assert reason in probe.why_alone(plans[0], plans[1])
    assert stack_groups(plans) == [[0], [1]]


def test_refuses_an_optimizer_that_asks_for_losses() -> None:
    optimizer = {"_target_": "torch.optim.LBFGS", "lr": 0.1}
    plans = [plan().changed(optimizer={**optimizer, "lr": lr}) for lr in (0.1, 0.2)]
    assert "closure" in probe.why_alone(plans[0], plans[1])


@pytest.mark.parametrize(
    ("recipe", "data", "overrides", "reason"),
    [
        ("neural_cryptography", "random_messages", [], "the task has its own steps"),
        ("char_lstm", "king_james_bible", [], "takes its samples shuffled"),
        ("tweets", "rated_snippets", [], "takes its samples shuffled"),
        ("tweets", "rated_snippets", ["trainer.order.kind=shuffled"], "samples differ in size"),
    ],
)
def test_refuses_several_steps_and_samples_of_many_sizes(
    recipe: str, data: str, overrides: list[str], reason: str
) -> None:
    plans = [small_plan(recipe, *overrides, f"seed={seed}", data=data) for seed in (0, 1)]
    assert reason in probe.why_alone(plans[0], plans[1])
    assert stack_groups(plans) == [[0], [1]]


def test_refuses_one_optimizer_for_each_step() -> None:
    nodes = [f"+optimizer.{step}._target_=torch.optim.Adam" for step in ("alice_and_bob", "eve")]
    rates = [f"+optimizer.{step}.lr={{}}" for step in ("alice_and_bob", "eve")]
    plans = [
        small_plan(
            "neural_cryptography",
            "optimizer=by_step",
            "~optimizer.lr",
            "~optimizer.weight_decay",
            *nodes,
            *(rate.format(lr) for rate in rates),
            data="random_messages",
        )
        for lr in (0.1, 0.2)
    ]
    assert probe.why_alone(plans[0], plans[1]) == "Unstackable: the task has its own steps"
    assert stack_groups(plans) == [[0], [1]]


def test_refuses_convolutions() -> None:
    """They can be stacked, and are slower so."""
    plans = [plan(f"optimizer.lr={lr}", recipe="lenet") for lr in (0.1, 0.2)]
    assert "convolutions" in probe.why_alone(plans[0], plans[1])


@pytest.mark.parametrize(
    ("methods", "reason"),
    [
        (["gradient_step"], "its own step"),
        (["regroup"], "its own step, parameter groups"),
        (["state_of_all_workers", "take_state"], "its own step, parameter groups or state"),
        (["zero_grad"], "its own zero_grad"),
    ],
)
def test_refuses_what_a_task_does_in_training_by_itself(
    methods: list[str], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for method in methods:
        monkeypatch.setattr(Classification, method, lambda *rest: None, raising=False)
    assert reason in _why_alone()


class Branching(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        return values * 2 if values.sum() > 0 else values


class Counting(nn.Module):
    """Does something else at each step."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def forward(self, values: Tensor) -> Tensor:
        self.count += 1
        return values * self.count


class Hidden:
    def __init__(self, number: float) -> None:
        self.number = number


class Drawn(nn.Module):
    """Scales by a number that differs from seed to seed."""

    def __init__(self, hide: bool) -> None:
        super().__init__()
        number = 1 + torch.rand(()).item()
        self.scale = Hidden(number) if hide else number

    def forward(self, values: Tensor) -> Tensor:
        return values * (self.scale.number if isinstance(self.scale, Hidden) else self.scale)


def _unused() -> nn.Module:
    layer = nn.Identity()
    layer.weight = nn.Parameter(torch.zeros(3))
    return layer


def _frozen() -> nn.Module:
    return nn.Linear(16, 16).requires_grad_(False)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: nn.BatchNorm1d(16), "running_mean"),
        (nn.RReLU, "vmap"),
        (lambda: nn.AlphaDropout(0.5), "random"),
        (Branching, "data-dependent"),
        (Counting, "not close"),
        (lambda: Drawn(hide=True), "not close"),
        (_frozen, "frozen"),
        (_unused, "no gradient"),
    ],
)
def test_refuses_layers(make: Callable[[], nn.Module], reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _add_layer(monkeypatch, make)
    assert reason in _why_alone()


def test_a_number_of_any_module_may_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    _add_layer(monkeypatch, lambda: Drawn(hide=False))
    assert _why_alone() == ""


def test_tries_once_for_each_kind_of_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []
    monkeypatch.setattr(groups, "why_alone", lambda *plans: tried.append(plans) or "")
    plans = [plan(f"optimizer.lr={lr}", f"seed={seed}") for lr in (0.1, 0.2, 0.3) for seed in (0, 1)]
    decayed = [*plans, plan("optimizer.weight_decay=0.1")]
    for trials in (plans[::2], plans[3:], decayed, [plans[0], decayed[-1]]):
        assert stack_groups(trials) == [list(range(len(trials)))]
    assert len(tried) == 2


def test_two_apart_differ_in_every_number() -> None:
    plans = [plan(), plan("optimizer.lr=0.5"), plan("model.dropout=0.5", "optimizer.lr=0.6")]
    before = json.dumps(plans[0].to_plain())
    first, other = groups._two_apart(plans)
    assert json.dumps(first.to_plain()) == before
    assert other.optimizer["lr"] != first.optimizer["lr"]
    assert other.model["dropout"] == 0.5
    assert other.seed != first.seed


@pytest.mark.parametrize(
    "override",
    [
        "init_from=build/train/perceptron",
        "teacher=[build/train/perceptron]",
        "+phases.first={trainer: {max_epochs: 1}}",
        "fine_tuning.frozen_parts=1",
        "fine_tuning.lr_decay=0.5",
    ],
)
def test_what_begins_from_something_is_alone_whatever_stands_beside_it(override: str) -> None:
    assert stack_groups([plan(), plan("seed=4"), plan(override), plan(override, "seed=4")]) == [
        [0, 1],
        [2],
        [3],
    ]


def test_large_networks_make_small_stacks() -> None:
    small = plan()
    costs = [replace(small.cost, num_parameters=number) for number in (10**3, 10**5, 10**8)]
    sizes = [stack_size(replace(small, cost=cost)) for cost in costs]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 8
    assert sizes[-1] == 1


@pytest.mark.parametrize(
    "option",
    [
        "trainer.keep.best=1",
        "trainer.keep.every_epochs=1",
        "trainer.early_stopping={patience: 1}",
        "trainer.ema_decay=0.9",
        "trainer.compile=true",
        "trainer.activation_checkpointing=[Linear]",
        "trainer.micro_batches=auto",
        "callbacks=device_stats",
        "profiler=simple",
    ],
)
def test_what_a_stack_does_not_do_trains_alone(option: str) -> None:
    assert stack_size(plan()) > 1 and stack_size(plan(option)) == 1


def _why_alone() -> str:
    plans = groups._two_apart([plan(f"optimizer.lr={lr}") for lr in (0.1, 0.2)])
    return probe.why_alone(*plans)


def _add_layer(monkeypatch: pytest.MonkeyPatch, make: Callable[[], nn.Module]) -> None:
    """Puts a layer between the hidden layer and the output of the perceptron."""
    constructor = Perceptron.__init__

    def construct(self: Perceptron, *rest: Any, **keywords: Any) -> None:
        constructor(self, *rest, **keywords)
        self.hidden.append(make())

    monkeypatch.setattr(Perceptron, "__init__", construct)
