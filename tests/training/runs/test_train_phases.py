"""Phases are trained one after the other, each once, each from where the last one ended."""

from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.shapes.shape_check import check_phases
from modules.training.runs.run import train
from modules.training.runs.run_folder import RunFolder
from modules.training.runs.train_phases import after_phases
from tests.training.small import small_plan

PHASES = (
    "+phases.first={trainer: {max_epochs: 1}}",
    "+phases.second={trainer: {max_epochs: 1}, optimizer: {lr: 1e-3}}",
)


@pytest.fixture
def trained(small_shards: Path, tmp_path: Path) -> Any:
    """Trains a plan's phases; gives the plan with what it begins from, and the phases that were trained."""
    names: list[str] = []

    def train_one(plan: Plan, number: str, folder: RunFolder) -> None:
        names.append(plan.name)
        train(plan, number, small_shards, folder, Console(quiet=True), deliver=False)

    def run(*overrides: str) -> tuple[Plan, list[str]]:
        names.clear()
        plan = small_plan("perceptron", *overrides)
        return after_phases(plan, small_shards, tmp_path / "runs", train_one), list(names)

    return run


def test_each_phase_begins_where_the_last_one_ended(trained: Any, tmp_path: Path) -> None:
    plan, names = trained(*PHASES)
    assert names == ["perceptron.first", "perceptron.second"]
    summaries = {path: RunFolder(path).read("summary.json") or {} for path in (tmp_path / "runs").iterdir()}
    folders = {summary["recipe"]: path for path, summary in summaries.items()}
    begun = summaries[folders["perceptron.second"]]["initial_weights"]
    assert begun["file"] == str(folders["perceptron.first"] / "weights.pt")
    assert begun["new"] == begun["left_over"] == []
    assert plan.pretrained.weights == folders["perceptron.second"] / "weights.pt"


def test_a_phase_is_trained_once(trained: Any) -> None:
    trained(*PHASES)
    assert trained(*PHASES, "seed=0")[1] == []
    # Another last training shares all phases, another second phase the first one.
    assert trained(*PHASES, "trainer.max_epochs=3", "phases.first.trainer.max_epochs=1")[1] == []
    assert trained(*PHASES, "phases.second.optimizer.lr=2e-3")[1] == ["perceptron.second"]
    assert trained("phases=null")[0].pretrained.weights is None


def test_a_phase_that_failed_is_trained_again_alone(trained: Any) -> None:
    broken = (PHASES[0], "+phases.second={optimizer: {_target_: torch.optim.SGD, lr: 1e30}}")
    with pytest.raises(UserError, match="diverged"):
        trained(*broken)
    assert trained(*PHASES)[1] == ["perceptron.second"]


def test_weights_go_from_phase_to_phase(trained: Any, small_shards: Path, tmp_path: Path) -> None:
    """A last training that learns nothing ends with the weights of the phase before it."""
    learns = "+phases.first={trainer: {max_epochs: 1}, optimizer: {lr: 0.05}}"
    plan, _ = trained(learns, "optimizer=sgd", "optimizer.lr=1e-30", "optimizer.weight_decay=0")
    folder = RunFolder(tmp_path / "last")
    train(plan, "1" * 64, small_shards, folder, Console(quiet=True), deliver=False)
    before = torch.load(plan.pretrained.weights, weights_only=True)
    for name, weight in torch.load(folder.weights, weights_only=True).items():
        assert before[name].abs().max() > 1e-3
        assert torch.allclose(weight, before[name], rtol=0, atol=1e-20), name


@pytest.mark.parametrize(
    "overrides, said",
    [
        (
            ("model.hidden_sizes=[10]", "+phases.a={model: {hidden_sizes: [9]}}"),
            "nothing of what perceptron.a",
        ),
        (("fine_tuning.reinit=[hidden.,output.]", *PHASES), "nothing of what perceptron.second trains fits"),
        (
            ("fine_tuning.reinit=[head.]", *PHASES),
            r"no weight of Perceptron begins with 'head\.'. There is: hidden",
        ),
    ],
)
def test_what_the_last_training_could_not_begin_from_is_said_beforehand(
    overrides: tuple[str, ...], said: str
) -> None:
    """Before its phases are trained, and as `begin_from` would say it after."""
    with pytest.raises(UserError, match=said):
        check_phases(small_plan("perceptron", *overrides).configuration)
    check_phases(small_plan("perceptron", "fine_tuning.reinit=[output.]", *PHASES).configuration)
