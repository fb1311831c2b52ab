"""best.yaml: which trial it is of, and that it is a plan."""

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from modules.configuration.composition.compose import compose
from modules.configuration.plans.plan_files import read_plan
from modules.configuration.plans.run_plan import Plan, Pretrained
from modules.shapes.make_plan import make_plan
from modules.sweeps.control.best_trial import best_trial, write_best
from modules.sweeps.control.ledger import Event, Ledger
from modules.sweeps.control.sweep_setup import Sweep
from modules.sweeps.search.search_space import Space
from tests.sweeps.small_sweep import make_sweep

POINTS = [{"optimizer.lr": lr} for lr in ("0.1", "0.2", "0.3")]


def ended(trial: int, status: str, value: float | None) -> Event:
    return {"event": "ended", "trial": trial, "status": status, "value": value, "reason": "", "seconds": 1.0}


@pytest.mark.parametrize(
    ("mode", "ends", "best"),
    [
        ("max", [("FINISHED", 0.5), ("FINISHED", 0.7), ("REUSED", 0.6)], 1),
        ("min", [("FINISHED", 0.5), ("FINISHED", 0.7), ("REUSED", 0.4)], 2),
        ("max", [("FINISHED", 0.5), ("STOPPED", 0.9), ("FAILED", None)], 0),
        ("max", [("FINISHED", 0.4), ("FINISHED", 0.5), ("REUSED", 0.5)], 1),
        ("max", [("STOPPED", 0.9)], None),
        ("max", [], None),
    ],
)
def test_the_best_was_trained_to_its_end(
    mode: str, ends: list[tuple[str, float | None]], best: int | None
) -> None:
    events = [{"event": "sweep"}, *(ended(trial, *end) for trial, end in enumerate(ends))]
    found = best_trial(events, mode)  # pyright: ignore[reportArgumentType]
    assert (found and found["trial"]) == best


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    made = make_sweep(tmp_path, POINTS)
    fixed = ("recipe=neuron", "sweep=random", "model.num_classes='${length:${data.fields.label.classes}}'")
    return replace(
        made,
        space=Space((), fixed, tuple(POINTS)),
        plan_of=lambda point: make_plan(compose([*fixed, f"optimizer.lr={point['optimizer.lr']}"])),
    )


def test_it_is_a_plan_whose_header_is_a_command(sweep: Sweep) -> None:
    with Ledger(sweep.folder / "ledger.jsonl") as ledger:
        assert write_best(sweep, ledger) is None
        for trial, point in enumerate(POINTS):
            ledger.append({"event": "asked", "trial": trial, "point": point, "identity": ""})
        ledger.append(ended(1, "FINISHED", 0.87654321))
        path = write_best(sweep, ledger)
    assert path is not None and path == sweep.folder / "best.yaml"
    plan = read_plan(path)
    assert plan.name == "neuron_best" and plan.optimizer["lr"] == 0.2
    assert plan.changed(name="neuron") == sweep.plan_of(POINTS[1])
    value, command, *_ = path.read_text().splitlines()
    assert value == "# validation/score 0.876543 (max): number 1 of 3 trials."
    import shlex

    words = shlex.split(command.removeprefix("# "))
    assert words[:3] == ["python", "-m", "pipelines.train"] and "sweep=random" not in words
    assert make_plan(compose(words[3:])) == sweep.plan_of(POINTS[1])


def test_it_names_what_it_begins_from_and_is_a_plan(sweep: Sweep) -> None:
    def plan_of(point: dict[str, str]) -> Plan:
        named = sweep.plan_of(point).changed(init_from="lenet@champion")
        return named.with_pretrained(Pretrained(weights=Path("x.pt"), weights_sha256="0"))

    with Ledger(sweep.folder / "ledger.jsonl") as ledger:
        ledger.append({"event": "asked", "trial": 0, "point": POINTS[0], "identity": ""})
        ledger.append(ended(0, "FINISHED", 0.5))
        path = write_best(replace(sweep, plan_of=plan_of), ledger)
    assert path is not None
    assert "x.pt" not in path.read_text()
    assert read_plan(path).init_from == "lenet@champion"


def test_a_members_last_point_counts_and_its_header_says_so(sweep: Sweep) -> None:
    changing = replace(sweep, settings=replace(sweep.settings, scheduler="pbt"))
    report = {"event": "report", "trial": 0, "epoch": 1, "step": 1, "metrics": {}}
    with Ledger(sweep.folder / "ledger.jsonl") as ledger:
        ledger.append({"event": "asked", "trial": 0, "point": POINTS[0], "identity": ""})
        ledger.append(report | {"decision": {"copy_from": 1, "point": POINTS[2]}})
        ledger.append(report | {"epoch": 2, "decision": "continue"}, ended(0, "FINISHED", 0.5))
        path = write_best(changing, ledger)
    assert path is not None
    assert yaml.safe_load(path.read_text())["optimizer"]["lr"] == 0.3
    assert "population based training" in path.read_text()
