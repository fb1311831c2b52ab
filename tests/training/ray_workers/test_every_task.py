"""Every task with data of its own kind, found by glob: two workers of a real Ray train it, as does a sweep.

The workers train one task after another: to start them takes longer than that.
"""

import json
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
import ray
from torch import distributed

from modules.cluster.connection import connect
from modules.cluster.own_ray import leave
from modules.configuration.plans.run_plan import Plan
from modules.sweeps.workers.train_trials import train_trials
from modules.sweeps.workers.trial_worker import Reporter
from modules.training.ray_workers.mailbox import Mailbox
from modules.training.ray_workers.workers import TrainingWorker
from modules.training.runs.sessions import Began
from tests.made_shards import recipes_with_data_of_their_own, smaller, write_made_shards
from tests.plans import composed_plan

pytestmark = [
    pytest.mark.ray,
    pytest.mark.timeout(600),
]
RECIPES = recipes_with_data_of_their_own()


def small(task: str, storage: Path, *overrides: str) -> tuple[Plan, Path]:
    """A plan of the task, and the folder of its shards."""
    plan = composed_plan(
        *smaller(RECIPES[task]),
        "trainer.max_epochs=1",
        "trainer.batch_size=4",
        "trainer.block_steps=2",
        "trainer.min_steps_per_epoch=1",
        "runtime.num_threads=1",
        "runtime.accelerator=cpu",
        f"runtime.storage={storage}",
        "tracking=none",
        *overrides,
    )
    shards = storage / "data" / "shards" / plan.dataset
    if not shards.exists():
        write_made_shards(plan, shards)
    return plan, shards


class OneAfterAnother(TrainingWorker):
    """Trains one job after another; how one fails is written to its folder."""

    def work(self, job: dict[str, Any], rank: int, size: int, meeting: tuple[str, int]) -> None:
        try:
            super().work(job, rank, size, meeting)
        except Exception:
            (Path(job["folder"]) / "failed").write_text(traceback.format_exc())
        finally:
            distributed.destroy_process_group()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Path]]:
    storage = {task: tmp_path_factory.mktemp(task) for task in RECIPES}
    connect(composed_plan("recipe=neuron", "runtime=ray").runtime, num_cpus=3)
    mailbox = ray.remote(num_cpus=0)(Mailbox).remote()
    jobs = []
    for task, folder in storage.items():
        plan, shards = small(task, folder, "runtime=ray", "runtime.num_workers=2")
        run = folder / "run"
        run.mkdir()
        about = {"identity": "0" * 64, "shards": str(shards), "folder": str(run), "mailbox": mailbox}
        began = Began(time.time())
        jobs.append({"plan": plan, "console": {"quiet": True}, "callbacks": [], "began": began, **about})
    actor: Any = ray.remote(OneAfterAnother).options(num_cpus=1, max_concurrency=2)
    workers = [actor.remote() for _ in range(2)]
    for job in jobs:
        meeting = workers[0].listen.remote()
        ray.get([worker.work.remote(job, rank, 2, meeting) for rank, worker in enumerate(workers)])
    yield storage
    leave()


@pytest.mark.parametrize("task", RECIPES)
def test_two_workers_train_it(task: str, folders: dict[str, Path]) -> None:
    run = folders[task] / "run"
    assert not (run / "failed").exists(), (run / "failed").read_text()
    assert json.loads((run / "outcome.json").read_text())["status"] == "FINISHED"
    assert json.loads((run / "summary.json").read_text())["epochs"] == 1


@pytest.mark.parametrize("task", RECIPES)
def test_a_trial_of_a_sweep_trains_it(task: str, folders: dict[str, Path]) -> None:
    plan, shards = small(task, folders[task])
    events, decisions = SimpleQueue(), SimpleQueue()
    for _ in range(3):  # what it asks at the end of an epoch, and once more at its own
        decisions.put("continue")
    assignment: Any = {
        "trial": 0,
        "plan": plan,
        "identity": "1" * 64,
        "folder": str(folders[task] / "runs" / ("1" * 16)),
        "shards": str(shards),
        "took_over": False,
        "alone": True,
    }
    Path(assignment["folder"]).mkdir(parents=True)

    assert train_trials([assignment], Reporter(events, decisions)) == {0: {"status": "FINISHED"}}
    assert not events.empty()
