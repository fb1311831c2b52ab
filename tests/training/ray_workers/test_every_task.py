"""Every task, found by glob: a trial of a sweep trains it by two workers of a real Ray."""

import io
import json
import pkgutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import ray
from rich.console import Console

from modules.cluster.connection import connect
from modules.sweeps.control.controller import run_sweep
from tests.made_shards import recipes_by_task, smaller, write_made_shards
from tests.plans import composed_plan
from tests.sweeps.small_sweep import make_sweep

pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings(r"ignore:`use_\w+` is deprecated:DeprecationWarning"),  # ray.data to itself
]
RECIPES = recipes_by_task()


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    connect(composed_plan("recipe=neuron", "runtime=ray").runtime, num_cpus=4)
    yield
    ray.shutdown()


@pytest.mark.parametrize("task", RECIPES)
def test_two_workers_of_a_sweep_train_it(task: str, tmp_path: Path) -> None:
    plan = composed_plan(
        *smaller(RECIPES[task]),
        "trainer.max_epochs=1",
        "trainer.batch_size=4",
        "trainer.block_steps=2",
        "trainer.min_steps_per_epoch=1",
        "runtime=ray",
        "runtime.num_workers=2",
        "runtime.num_threads=1",
        "runtime.accelerator=cpu",
        f"runtime.storage={tmp_path}",
        "tracking=none",
    )
    write_made_shards(plan, tmp_path / "data" / "shards" / plan.dataset)
    metric, mode = next(iter(pkgutil.resolve_name(plan.task["_target_"]).validation_metrics.items()))
    sweep = make_sweep(tmp_path, [{"seed": "3"}], max_retries=0)
    runtime = replace(sweep.runtime, num_workers=2)
    changes = {"base": plan, "metric": metric, "mode": mode, "max_epochs": 1, "runtime": runtime}
    sweep = replace(sweep, plan_of=lambda point: plan.changed(seed=int(point["seed"])), **changes)
    shown = io.StringIO()
    assert run_sweep(sweep, Console(file=shown)).counts == {"FINISHED": 1}, shown.getvalue()
    (outcome,) = tmp_path.glob("runs/*/outcome.json")
    assert json.loads(outcome.read_text())["status"] == "FINISHED"
