"""How far a training has come, told from what lies on disk."""

import hashlib
import json
from pathlib import Path

import pytest

from modules.configuration.plans.plan_files import plan_text
from modules.configuration.plans.run_plan import Plan
from modules.planning.recipe_state import is_published, recipe_states
from tests.plans import composed_plan


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write_plan(path: Path, plan: Plan) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(plan_text(plan.to_plain()))


def planned(name: str) -> Plan:
    plan = composed_plan(f"recipe={name}")
    write_plan(Path(f"build/plan/{name}.yaml"), plan)
    return plan


def begin(folder: str, plan: Plan, finished: bool = False) -> None:
    """A run as it is left in the middle, or in the end."""
    run = Path("runs") / folder
    write_plan(run / "plan.yaml", plan)
    if finished:
        (run / "weights.pt").write_bytes(b"weights")
        (run / "outcome.json").write_text('{"status": "FINISHED"}')
    else:
        (run / "checkpoints").mkdir()
        (run / "checkpoints" / "last.ckpt").write_bytes(b"state")


def publish(name: str, md5: str | None = None) -> None:
    """What the stage leaves, and what DVC notes of it."""
    folder = Path("build/train") / name
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text("{}")
    deps = [{"path": "data/shards/x", "hash": "md5", "md5": "0"}]
    if md5 is not None:
        deps.append({"path": f"build/plan/{name}.yaml", "hash": "md5", "md5": md5})
    stages = {f"train@{name}": {"cmd": "x", "deps": deps}, "plan": {"cmd": "x"}}
    Path("dvc.lock").write_text(json.dumps({"schema": "2.0", "stages": stages}))


def test_nothing_is_there() -> None:
    assert recipe_states(["lenet", "neuron"]) == {"lenet": "not trained", "neuron": "not trained"}
    assert not is_published("lenet")


@pytest.mark.parametrize("noted", [True, False])
def test_a_trained_recipe(noted: bool) -> None:
    planned("lenet")
    content = Path("build/plan/lenet.yaml").read_bytes()
    publish("lenet", hashlib.md5(content, usedforsecurity=False).hexdigest() if noted else None)
    assert recipe_states(["lenet"]) == {"lenet": "trained"} and is_published("lenet")


def test_another_plan_than_the_one_that_trained_it() -> None:
    planned("lenet")
    publish("lenet", "0" * 32)
    assert recipe_states(["lenet"]) == {"lenet": "changed"}


@pytest.mark.parametrize("lock", ["", "stages: [", "stages: {train@lenet: 3}", "- 1", "\0"])
def test_what_dvc_would_refuse_is_left_to_it(lock: str) -> None:
    planned("lenet")
    publish("lenet")
    Path("dvc.lock").write_text(lock)
    assert recipe_states(["lenet"]) == {"lenet": "trained"}


def test_a_run_that_was_begun() -> None:
    # Where it is tracked and by how many threads it is computed makes no other run.
    write_plan(Path("build/plan/lenet.yaml"), composed_plan("recipe=lenet"))
    begin("0" * 16, composed_plan("recipe=lenet", "tracking=none", "runtime.num_threads=1"))
    assert recipe_states(["lenet", "lenet_digits"]) == {"lenet": "interrupted", "lenet_digits": "not trained"}


@pytest.mark.parametrize("other", ["seed=1", "trainer.max_epochs=1", "name=lenet_1"])
def test_another_run_of_the_recipe(other: str) -> None:
    planned("lenet")
    begin("0" * 16, composed_plan("recipe=lenet", other))
    assert recipe_states(["lenet"]) == {"lenet": "not trained"}


def test_a_run_without_a_checkpoint_is_nothing_to_go_on_with() -> None:
    planned("lenet")
    write_plan(Path("runs/a/plan.yaml"), composed_plan("recipe=lenet"))
    assert recipe_states(["lenet"]) == {"lenet": "not trained"}


def test_a_run_that_another_command_finished() -> None:
    planned("lenet")
    begin("0" * 16, composed_plan("recipe=lenet"), finished=True)
    assert recipe_states(["lenet"]) == {"lenet": "trained"} and not is_published("lenet")


@pytest.mark.parametrize("finished", [True, False])
def test_a_phase_that_was_begun(finished: bool) -> None:
    plan = planned("dbn_digits")
    begin("0" * 16, plan.all_runs[0], finished)
    assert recipe_states(["dbn_digits"]) == {"dbn_digits": "interrupted"}


@pytest.mark.parametrize(
    "text", ["name: lenet\n", "name: [\n", "\0", "name: lenet\nmodel: {_target_: os.system}\n"]
)
def test_runs_of_others_are_no_fault(text: str) -> None:
    planned("lenet")
    begin("a", composed_plan("recipe=lenet"))
    begin("b", composed_plan("recipe=lenet"))
    Path("runs/a/plan.yaml").write_text(text)
    assert recipe_states(["lenet"]) == {"lenet": "interrupted"}
