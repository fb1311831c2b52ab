"""What a phase is: a whole plan of its own, made of the recipe's and of what the phase sets otherwise."""

from pathlib import Path

import pytest

from modules.configuration.composition.compose import compose
from modules.configuration.errors import UserError
from modules.configuration.plans.identity import identities
from modules.configuration.schema.phases import trainings
from tests.plans import composed_plan

FIRST = "+phases.first={trainer: {max_epochs: 1}, optimizer: {lr: 0.5}}"
SECOND = "+phases.second={optimizer: {_target_: torch.optim.SGD, lr: 0.1}, fine_tuning: {frozen_parts: 1}}"


def test_phases_come_in_order_and_know_nothing_of_each_other() -> None:
    config = compose(["recipe=perceptron", FIRST, SECOND, "fine_tuning.lr_decay=0.5", "teacher=[a@1]"])
    first, second, recipe = trainings(config)
    assert [plan["name"] for plan in (first, second, recipe)] == [
        "perceptron.first",
        "perceptron.second",
        "perceptron",
    ]
    assert first["trainer"] == config["trainer"] | {"max_epochs": 1}
    assert second["trainer"] == config["trainer"]
    assert first["optimizer"] == config["optimizer"] | {"lr": 0.5}, "merged"
    assert second["optimizer"] == {"_target_": "torch.optim.SGD", "lr": 0.1}, "another class: replaced whole"
    # What fine-tuning and teachers are to the recipe they are not to its phases.
    assert first["fine_tuning"]["lr_decay"] == 1.0 and second["fine_tuning"]["frozen_parts"] == 1
    assert first["teacher"] == [] and recipe["teacher"] == ["a@1"]
    assert recipe is config


def test_none_can_be_left_out() -> None:
    assert trainings(compose(["recipe=perceptron", FIRST, "phases=null"]))[0]["phases"] is None


@pytest.mark.parametrize(
    "phase, said",
    [
        ("+phases.a={trainer: {max_epoch: 1}}", r"phases.a.trainer.max_epoch: .* Did you mean max_epochs\?"),
        ("+phases.a={trainer: {max_epochs: 0}}", "phases.a.trainer.max_epochs: 0 is below 1"),
        ("+phases.a={data: {name: x}}", "a phase cannot set data"),
        ("+phases.a={tasks: {}}", r"a phase cannot set tasks. Did you mean task\?"),
        ("+phases.a=1", "phases.a: 1 where a mapping is expected"),
        ("+phases.a={task: {_target_: os.system}}", "os.system is not allowed"),
    ],
)
def test_a_mistake_in_a_phase_is_one_line(phase: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        compose(["recipe=perceptron", phase])


def test_a_phase_is_the_same_run_whatever_follows_it(tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    folder.mkdir()
    (folder / "shards.json").write_text('{"splits": {"train": {"shards": [{"sha256": "0"}]}}}')

    def numbers(*overrides: str) -> list[str]:
        return identities(composed_plan("recipe=perceptron", *overrides), folder)

    alone = numbers(FIRST)
    both = numbers(FIRST, SECOND)
    assert len(set(both)) == 3
    assert both[0] == alone[0]
    assert both[2] != alone[1], "begins from other weights"
    other_last = numbers(FIRST, "trainer.samples_per_class=3", "+phases.first.trainer.samples_per_class=null")
    assert other_last[0] == alone[0] and other_last[1] != alone[1]
