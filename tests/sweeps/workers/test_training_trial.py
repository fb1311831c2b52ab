"""Real trainings in warm workers: bits, stops, populations."""

import io
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow import MlflowClient
from rich.console import Console

from modules.cluster.connection import connect
from modules.cluster.own_ray import leave
from modules.configuration.plans.run_plan import Plan, parse_plan
from modules.sweeps.control.controller import run_sweep
from modules.sweeps.control.ledger import read_events
from modules.sweeps.control.sweep_setup import Sweep
from modules.sweeps.search.search_space import Axis, Space
from modules.sweeps.workers import train_trials, training_trial
from modules.sweeps.workers.training_trial import take_over
from modules.training.runs.run_folder import RunFolder
from tests.commands import environment
from tests.pipelines.yard import DATASET, Yard, make_yard
from tests.sweeps.small_sweep import make_sweep
from tests.tracking.conftest import settings_for

pytestmark = pytest.mark.ray
NUM_EPOCHS = 3
ALONE = """
import json, sys
from pathlib import Path
from rich.console import Console
from modules.configuration.plans.run_plan import parse_plan
from modules.training.runs.run import train
from modules.training.runs.run_folder import RunFolder
plan, shards, folder = parse_plan(json.loads(sys.argv[1])), Path(sys.argv[2]), RunFolder(Path(sys.argv[3]))
with folder.held():
    train(plan, "0" * 64, shards, folder, Console(quiet=True), deliver=False)
"""


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    yard = make_yard(tmp_path_factory.mktemp("yard"))
    connect(make_sweep(tmp_path_factory.mktemp("none"), []).runtime, num_cpus=2)
    yield yard
    leave()


def training_sweep(yard: Yard, storage: Path, points: list[dict[str, str]], **settings: Any) -> Sweep:
    """A sweep of the yard's recipe over lr and seed, in a storage of its own."""
    (storage / "data").mkdir(parents=True, exist_ok=True)
    if not (storage / "data" / "shards").exists():
        (storage / "data" / "shards").symlink_to(yard.folder / "data" / "shards")
    plan = yard.plan
    plan["tracking"] |= {"uri": None}
    plan["runtime"] |= {"num_threads": 1, "accelerator": "cpu"}
    plan["trainer"] |= {"max_epochs": NUM_EPOCHS, "batch_size": 10, "checkpoint_every_steps": 3}
    plan["model"] |= {"dropout": 0.3}

    base = parse_plan(plan)

    def plan_of(point: dict[str, str]) -> Plan:
        optimizer = {**base.optimizer, "lr": float(point["lr"])}
        return base.changed(optimizer=optimizer, seed=int(point.get("seed", "0")))

    sweep = make_sweep(storage, points, **settings)
    return replace(sweep, base=base, metric="validation/accuracy", max_epochs=NUM_EPOCHS, plan_of=plan_of)


def facts(sweep: Sweep) -> dict[str, Any]:
    """What a plan says of itself, for its phases."""
    plain = sweep.base.to_plain()
    return {key: plain[key] for key in ("code", "cost")}


def run(sweep: Sweep) -> dict[str, int]:
    return run_sweep(sweep, Console(file=io.StringIO())).counts


def run_folder(sweep: Sweep, trial: int) -> Path:
    events = read_events(sweep.folder / "ledger.jsonl")
    identity = next(e["identity"] for e in events if e["event"] == "asked" and e["trial"] == trial)
    return Path(sweep.runtime.storage) / "runs" / identity[:16]


def test_a_used_worker_beside_failing_trials_gives_the_bits_of_a_fresh_process(
    yard: Yard, tmp_path: Path
) -> None:
    points = [{"lr": "1e30"}, {"lr": "0.01", "seed": "1"}, {"lr": "1e30", "seed": "1"}, {"lr": "0.003"}]
    sweep = training_sweep(yard, tmp_path, points, max_concurrent=1)
    assert run(sweep) == {"FAILED": 2, "FINISHED": 2}

    for trial in (1, 3):
        plan, folder = sweep.plan_of(points[trial]), tmp_path / f"alone {trial}"
        shards = yard.folder / "data" / "shards" / DATASET
        subprocess.run(
            [sys.executable, "-c", ALONE, json.dumps(plan.to_plain()), str(shards), str(folder)],
            check=True,
            env=environment(),
        )
        swept = run_folder(sweep, trial)
        assert (swept / "history.json").read_bytes() == (folder / "history.json").read_bytes()
        assert (swept / "weights.pt").read_bytes() == (folder / "weights.pt").read_bytes()

    alone = training_sweep(yard, tmp_path / "without", [points[1], points[3]], max_concurrent=1)
    assert run(alone) == {"FINISHED": 2}
    for trial, same in ((1, 0), (3, 1)):
        ours, other = run_folder(sweep, trial), run_folder(alone, same)
        assert (ours / "weights.pt").read_bytes() == (other / "weights.pt").read_bytes()


def test_what_one_sweep_stopped_another_goes_on_with(yard: Yard, tmp_path: Path) -> None:
    points = [{"lr": "0.03"}, {"lr": "1e-9"}]
    halving = training_sweep(yard, tmp_path, points, scheduler="asha", max_concurrent=1)
    assert run(halving) == {"FINISHED": 1, "STOPPED": 1}
    folder = RunFolder(run_folder(halving, 1))
    assert (folder.read("outcome.json") or {})["status"] == "STOPPED"
    assert folder.checkpoint.exists() and not folder.finished()

    to_the_end = training_sweep(yard, tmp_path, points, max_concurrent=1)
    assert run(to_the_end) == {"REUSED": 1, "FINISHED": 1}
    reports = [e for e in read_events(to_the_end.folder / "ledger.jsonl") if e["event"] == "report"]
    assert [report["epoch"] for report in reports] == [1, 2, 3], "the first was reported from the checkpoint"

    at_once = training_sweep(yard, tmp_path / "at once", points[1:])
    run(at_once)
    assert (run_folder(at_once, 0) / "weights.pt").read_bytes() == folder.weights.read_bytes()


def test_trials_share_the_phases_they_have_in_common_and_all_are_tracked(yard: Yard, tmp_path: Path) -> None:
    points = [{"lr": "0.01"}, {"lr": "0.003"}, {"lr": "0.01", "seed": "1"}]
    sweep = training_sweep(yard, tmp_path, points, max_concurrent=2)
    phases = {"first": {"trainer": {"max_epochs": 1}, "optimizer": {"lr": 0.02}, **facts(sweep)}}
    tracking = settings_for(f"sqlite:///{tmp_path / 'mlflow.db'}", tmp_path / "mlartifacts")
    plan_of, changes = sweep.plan_of, {"phases": phases, "tracking": tracking}
    sweep = replace(
        sweep, base=sweep.base.changed(**changes), plan_of=lambda point: plan_of(point).changed(**changes)
    )
    assert run(sweep) == {"FINISHED": 3}
    ends = [RunFolder(folder).read("summary.json") for folder in (tmp_path / "runs").iterdir()]
    names = sorted((end["recipe"], end["seed"]) for end in ends if end)
    assert names == [
        ("stripes", 0),
        ("stripes", 0),
        ("stripes", 1),
        ("stripes.first", 0),
        ("stripes.first", 1),
    ]
    begun = {
        end["seed"]: end["initial_weights"]["file"] for end in ends if end and end["recipe"] == "stripes"
    }
    assert Path(begun[0]).parent.name != Path(begun[1]).parent.name

    client = MlflowClient(tracking_uri=tracking["uri"])
    experiment = client.get_experiment_by_name(tracking["experiment"])
    assert experiment
    delivered = client.search_runs([experiment.experiment_id])
    assert {found.info.status for found in delivered} == {"FINISHED"}
    assert sorted(found.info.run_name or "" for found in delivered) == [
        *("lr=0.003", "lr=0.01", "lr=0.01 seed=1"),
        *("stripes sweep", "stripes.first", "stripes.first"),
    ]


def test_a_phase_of_several_workers_is_trained_by_them(
    yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process of such a trial has neither CPUs nor GPUs set aside for it."""
    sweep = training_sweep(yard, tmp_path, [{"lr": "0.01"}])
    first = {"trainer": {"max_epochs": 1}, **facts(sweep)}
    runtime = {**sweep.base.configuration["runtime"], "backend": "ray", "num_workers": 2}
    plan = sweep.plan_of({"lr": "0.01"}).changed(phases={"first": first}, runtime=runtime)
    trained: list[str] = []

    def on_workers(plan: Plan, number: str, shards: Path, folder: RunFolder, console: Any) -> None:
        trained.append(plan.name)
        for name in ("history.json", "summary.json"):
            folder.write(name, {"steps": 3, "epochs": 3})

    monkeypatch.setattr(training_trial, "train_on_workers", on_workers)
    assignment = {"trial": 0, "folder": str(tmp_path / "run"), "plan": plan, "identity": "0" * 64}
    shards = {"shards": str(tmp_path / "data" / "shards" / DATASET), "alone": False, "took_over": False}
    monkeypatch.setattr(training_trial, "_measured", lambda history: {})
    told: Any = None
    assert train_trials.train_trials([assignment | shards], told) == {0: {"status": "FINISHED"}}
    assert trained == ["stripes.first", "stripes"]


def test_a_population_trains_and_who_takes_over_needs_no_phases(yard: Yard, tmp_path: Path) -> None:
    settings = {"num_trials": 4, "scheduler": "pbt", "quantile": 0.5, "max_concurrent": 1}  # in one order
    sweep = training_sweep(yard, tmp_path, [], search="random", **settings)
    sweep = replace(sweep, space=Space(axes=(Axis("lr", low=1e-5, high=1e-2, log=True),), fixed=()))
    plan_of = sweep.plan_of

    def with_phase(point: dict[str, str]) -> Plan:
        first = {"trainer": {"max_epochs": 1}, "optimizer": {"lr": float(point["lr"])}, **facts(sweep)}
        return plan_of(point).changed(phases={"first": first})

    sweep = replace(sweep, plan_of=with_phase)
    assert run(sweep) == {"FINISHED": 4}
    assert len(list((tmp_path / "runs").iterdir())) == 4, "no phase at the points that were moved to"
    reports = [e for e in read_events(sweep.folder / "ledger.jsonl") if e["event"] == "report"]
    assert any(report["decision"] != "continue" for report in reports)
    for number in range(4):
        history = json.loads((sweep.folder / "members" / str(number) / "history.json").read_text())
        assert len(history["validation/accuracy"]) == NUM_EPOCHS


def test_trials_that_differ_in_numbers_alone_are_stacked(yard: Yard, tmp_path: Path) -> None:
    sweep = training_sweep(yard, tmp_path, [{"lr": lr} for lr in ("0.01", "0.003", "0.001")], stack=True)
    neuron = {
        "_target_": "modules.models.feedforward.neuron.Neuron",
        "input_shape": [1, 12, 12],
        "num_classes": 3,
    }
    of_convolutions = sweep.plan_of  # which are better trained one after another
    sweep = replace(sweep, plan_of=lambda point: of_convolutions(point).changed(model=neuron))
    assert run(sweep) == {"FINISHED": 3}
    summaries = [json.loads((run_folder(sweep, trial) / "summary.json").read_text()) for trial in range(3)]
    assert any(summary.get("stack_size", 1) > 1 for summary in summaries)


def test_a_takeover_keeps_the_state_and_sets_the_optimizer(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.checkpoint.parent.mkdir()
    group = {"lr": 0.01, "initial_lr": 0.02, "betas": [0.9, 0.999], "params": [0]}
    content = {
        "state_dict": {"weight": torch.arange(3.0)},
        "loops": {},
        "callbacks": {},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(3)}}, "param_groups": [group]}],
        "global_step": 7,
        "epoch": 1,
    }
    torch.save(content, folder.checkpoint.with_name("taken_over.ckpt"))

    take_over(folder, {"_target_": "torch.optim.AdamW", "lr": 0.5, "betas": [0.8, 0.9]})

    taken = torch.load(folder.checkpoint, weights_only=True)
    assert taken["optimizer_states"][0]["param_groups"] == [
        {"lr": 0.5, "initial_lr": 0.5, "betas": [0.8, 0.9], "params": [0]}
    ]
    assert torch.equal(taken["optimizer_states"][0]["state"][0]["exp_avg"], torch.ones(3))
    assert torch.equal(taken["state_dict"]["weight"], torch.arange(3.0)) and taken["global_step"] == 7
    assert not folder.checkpoint.with_name("taken_over.ckpt").exists()
    take_over(folder, {"lr": 0.1})
    assert (
        torch.load(folder.checkpoint, weights_only=True)["optimizer_states"][0]["param_groups"][0]["lr"]
        == 0.5
    )


def test_a_takeover_leaves_biases_without_decay(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.checkpoint.parent.mkdir()
    group = {"lr": 0.01, "initial_lr": 0.01, "weight_decay": 0.002, "params": [0]}
    groups = [group, group | {"weight_decay": 0.0, "params": [1, 2]}]
    content: dict[str, Any] = {"state_dict": {}, "loops": {}, "callbacks": {}, "global_step": 7, "epoch": 1}
    content["optimizer_states"] = [{"state": {}, "param_groups": groups}]
    torch.save(content, folder.checkpoint.with_name("taken_over.ckpt"))
    take_over(folder, {"_target_": "torch.optim.SGD", "lr": 0.1, "weight_decay": 0.5})
    taken = torch.load(folder.checkpoint, weights_only=True)["optimizer_states"][0]["param_groups"]
    assert [one["weight_decay"] for one in taken] == [0.5, 0.0]
    assert [one["lr"] for one in taken] == [one["initial_lr"] for one in taken] == [0.1, 0.1]
