"""The section `optimizer`: what each step of a task is given, and rates by part."""

from typing import Any

import pytest

from modules.configuration.errors import ConfigError
from modules.configuration.schema.optimizer_settings import check_optimizer

ADAM = {"_target_": "torch.optim.Adam", "lr": 0.1}
LBFGS = {"_target_": "torch.optim.LBFGS", "lr": 1.0}


@pytest.mark.parametrize("lr_decay", [1.0, 0.5])
def test_one_node_or_one_for_each_step(lr_decay: float) -> None:
    check_optimizer(ADAM, lr_decay)
    check_optimizer({"one": ADAM, "two": ADAM}, lr_decay)


@pytest.mark.parametrize(
    ("optimizer", "lr_decay", "said"),
    [
        (
            {},
            1.0,
            "optimizer: has no _target_. Choose a file, such as optimizer=adamw, or write a node for each",
        ),
        (
            {"one": ADAM, "two": {"lr": 0.1}},
            1.0,
            "optimizer.two: has no _target_. Add its class: +optimizer.two._t",
        ),
        (
            {"one": ADAM, "lr": 0.1},
            1.0,
            "optimizer.lr: the optimizer is a mapping by steps, and 0.1 is no step's",
        ),
        (
            {"_target_": "torch.optim.Adam"},
            0.5,
            "optimizer.lr: it is not set, and fine_tuning.lr_decay=0.5 is a factor of it."
            " Set it: +optimizer.lr=0.001, for example",
        ),
        (
            {"one": ADAM, "two": {"_target_": "torch.optim.Adam"}},
            0.5,
            "optimizer.two.lr: it is not set, and fine_tuning.lr_decay=0.5 is a factor of it",
        ),
        (ADAM | {"lr": -1.0}, 1.0, "optimizer.lr: -1.0 is not above 0"),
        (ADAM | {"lr": float("nan")}, 1.0, "optimizer.lr: nan is not above 0"),
        ({"one": ADAM | {"weight_decay": -1}}, 1.0, "optimizer.one.weight_decay: -1 is not at least 0"),
        (ADAM | {"momentum": 1.0}, 1.0, "optimizer.momentum: 1.0 is not at least 0 and below 1"),
        (
            {"one": ADAM, "two": LBFGS},
            0.5,
            "optimizer.two._target_: LBFGS has one rate for all, and fine_tuning.lr_decay=0.5 asks for one",
        ),
    ],
)
def test_refuses(optimizer: dict[str, Any], lr_decay: float, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        check_optimizer(optimizer, lr_decay)
    assert str(refused.value).startswith(said)
