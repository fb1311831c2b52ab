"""`hydra/sweeper=ray` and `hydra/launcher=ray` as a user gives them: processes of their own, a real Ray."""

import json
import re
import sys
from pathlib import Path

import pytest

from modules.sweeps.control.ledger import read_events
from tests.commands import run
from tests.training.small import write_small_shards

pytestmark = pytest.mark.ray
SMALL = [
    "recipe=neuron",
    "data.samples_per_record=50",
    "trainer.max_epochs=2",
    "trainer.batch_size=16",
    "trainer.block_steps=4",
    "runtime.num_threads=1",
    "runtime.accelerator=cpu",
    "tracking=none",
]


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the small dataset, in which runs and sweeps pile up."""
    folder = tmp_path_factory.mktemp("yard")
    write_small_shards(folder / "data" / "shards" / "fashion_mnist")
    return folder


def python(yard: Path, module: str, *arguments: str) -> tuple[int, str, str]:
    return run(f"pipelines.{module}", *arguments, folder=yard)


def test_a_multirun_is_one_sweep_whose_best_trains_as_it_is(yard: Path) -> None:
    (yard / "tell.py").write_text("import sys; open('told.json', 'w').write(sys.stdin.read())")
    telling = f"runtime.on_failure='{sys.executable} tell.py'"
    given = ["-m", "hydra/sweeper=ray", *SMALL, "optimizer=sgd", "optimizer.lr=0.01,1e30,0.02", telling]
    status, out, err = python(yard, "train", *given)
    assert status == 2, err
    last = err.strip().splitlines()[-1]
    assert last.startswith("error: 1 of 3 trials failed: ") and "diverged" in last
    assert "neuron: best of 3 trials is number" in out and "Traceback" not in err
    assert re.search(r"; (0\.\d+|< 0\.001) CPU-hours in all$", out.strip()), out
    (folder,) = (yard / "sweeps").iterdir()
    told = json.loads((yard / "told.json").read_text())  # once, of the sweep and not of each trial
    assert told["kind"] == "sweep" and told["reason"].startswith("1 of 3 trials failed: ")
    assert Path(told["run_folder"]).resolve() == folder.resolve()
    assert {"best.yaml", "index.html", "ledger.jsonl"} <= {path.name for path in folder.iterdir()}
    assert not (yard / "multirun").exists()
    ended = {e["trial"]: e["status"] for e in read_events(folder / "ledger.jsonl") if e["event"] == "ended"}
    assert ended == {0: "FINISHED", 1: "FAILED", 2: "FINISHED"}

    status, out, err = python(yard, "train", f"plan={folder / 'best.yaml'}", "out=build/best")
    assert status == 0, err
    assert "neuron_best: already trained, nothing to do (threads 1" in out
    assert (yard / "build" / "best" / "neuron_best" / "weights.pt").is_file()


def test_a_launcher_trains_what_hydra_lists_and_no_command_trains_it_again(yard: Path) -> None:
    given = ["-m", *SMALL, "seed=3,4"]
    status, out, err = python(yard, "train", "hydra/launcher=ray", *given)
    assert status == 0, err
    assert "neuron: best of 2 trials is number" in out and "CPU-hours in all" in out  # of a stack
    status, out, err = python(yard, "train", *given)
    assert status == 0, err
    assert out.count("neuron: already trained, nothing to do") == 2
    status, out, err = python(yard, "train", "hydra/sweeper=ray", *given)
    assert status == 0, err
    ledgers = [read_events(path) for path in (yard / "sweeps").glob("*/ledger.jsonl")]
    statuses = [[e["status"] for e in events if e["event"] == "ended"] for events in ledgers]
    assert ["REUSED", "REUSED"] in statuses


def test_a_refused_multirun_leaves_nothing(tmp_path: Path) -> None:
    write_small_shards(tmp_path / "data" / "shards" / "fashion_mnist")
    given = ["-m", "hydra/sweeper=ray", *SMALL[1:], "recipe=lenet", "model.kernel_size=3,19"]
    status, _, err = python(tmp_path, "train", *given)
    assert status == 2 and "1 of 2 points are impossible" in err and err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
