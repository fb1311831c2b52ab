"""`python -m pipelines.train` as a user runs it: processes of its own, real signals, real limits."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from modules.configuration.yaml_files import to_yaml
from tests.commands import Command, environment
from tests.training.small import small_plan, write_small_shards

SMALL = [
    "data=fashion_mnist",
    "data.samples_per_record=50",
    "trainer.max_epochs=2",
    "trainer.batch_size=16",
    "trainer.block_steps=4",
    "trainer.checkpoint_every_steps=8",
    "runtime.num_threads=1",
    "runtime.accelerator=cpu",
    "tracking=none",
]
LONG = [override for override in SMALL if not override.startswith("trainer.max_epochs")]


@pytest.fixture
def yard(tmp_path: Path, small_shards_once: Path) -> Path:
    """A folder with the small dataset and no trained run."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "shards").symlink_to(small_shards_once)
    return tmp_path


@pytest.fixture(scope="session")
def small_shards_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    write_small_shards(folder / "fashion_mnist")
    return folder


def start(yard: Path, *arguments: str, **how: Any) -> Command:
    return Command("pipelines.train", *arguments, folder=yard, **how)


def finish(process: Command) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=200)
    return process.wait(), out, err


def train(yard: Path, *arguments: str, **how: Any) -> tuple[int, str, str]:
    return finish(start(yard, *arguments, **how))


def run_folder(yard: Path) -> Path:
    (folder,) = (yard / "runs").iterdir()
    return folder


def signalled(yard: Path, number: int, *arguments: str) -> tuple[int, str, str]:
    """Trains until a checkpoint newer than this start is there, and sends the signal."""
    began_s = time.time()
    process = start(yard, *arguments)
    while process.poll() is None:
        if any(path.stat().st_mtime > began_s for path in yard.glob("runs/*/checkpoints/last.ckpt")):
            process.send_signal(number)
            break
        time.sleep(0.01)
    return finish(process)


def last_line(text: str) -> str:
    return text.strip().splitlines()[-1]


def test_plan_is_trained_once_and_published(yard: Path) -> None:
    plan = small_plan("neuron")
    path = yard / "build" / "plan" / "neuron.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(to_yaml(plan.to_plain()))
    status, out, err = train(yard, f"plan={path}")
    assert status == 0, err
    assert "neuron: training runs/" in out
    published = yard / "build" / "train" / "neuron"
    summary = json.loads((published / "summary.json").read_text())
    folder = run_folder(yard)
    assert folder.name == summary["identity"][:16]
    assert summary["run_folder"] == f"runs/{folder.name}"
    assert summary["status"] == "FINISHED"
    assert {
        "seed",
        "seconds",
        "seconds_total",
        "steps",
        "epochs",
        "samples_per_s",
        "python",
        "goodput",
        "mfu",
        "cpu_hours",
    } <= summary.keys()
    # What came before the training, imports for the most part, is in the wall as well.
    assert summary["seconds_by_part"]["start_up"] > summary["wall_seconds"] - summary["seconds"] - 0.2
    weights = torch.load(published / "weights.pt", weights_only=True)
    assert all(isinstance(tensor, torch.Tensor) for tensor in weights.values())
    history = json.loads((published / "history.json").read_text())
    assert history["train/loss"][-1][0] <= summary["steps"]
    assert json.loads((folder / "outcome.json").read_text())["status"] == "FINISHED"
    assert yaml.safe_load((folder / "plan.yaml").read_text()) == plan.to_plain()

    (published / "weights.pt").unlink()
    before = (folder / "weights.pt").stat().st_mtime_ns
    status, out, err = train(yard, f"plan={path}")
    assert (status, err) == (0, "")
    assert "already trained" in out
    assert (folder / "weights.pt").stat().st_mtime_ns == before
    assert (published / "weights.pt").read_bytes() == (folder / "weights.pt").read_bytes()


def test_what_is_trained_already_is_told_without_torch(yard: Path) -> None:
    arguments = ["recipe=neuron", *SMALL]
    status, _, err = train(yard, *arguments)
    assert status == 0, err
    code = (
        "import sys; from pipelines.train import main; main(sys.argv[1:]); assert 'torch' not in sys.modules"
    )
    again = [sys.executable, "-c", code, *arguments]
    told = subprocess.run(again, cwd=yard, env=environment(), capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert "neuron: already trained, nothing to do" in told.stdout


def test_signals_end_it_saved_and_the_same_command_goes_on(yard: Path, tmp_path: Path) -> None:
    arguments = ["recipe=perceptron", "trainer.max_epochs=16", "runtime.on_failure='touch told'", *LONG]
    for number, expected in ((signal.SIGTERM, 143), (signal.SIGKILL, -9)):
        status, _, err = signalled(yard, number, *arguments)
        assert status == expected, err
        if number != signal.SIGKILL:
            assert "the same command goes on" in last_line(err)
            outcome = json.loads((run_folder(yard) / "outcome.json").read_text())
            assert (outcome["status"], outcome["reason"]) == ("KILLED", signal.Signals(number).name)
    assert not (yard / "told").exists(), "an interruption is no failure"
    status, out, err = train(yard, *arguments)
    assert status == 0, err
    assert "going on with runs/" in out
    assert "going on at step" in err
    resumed = torch.load(run_folder(yard) / "weights.pt", weights_only=True)

    other = tmp_path / "other"
    other.mkdir()
    (other / "data").symlink_to(yard / "data")
    status, _, err = train(other, *arguments)
    assert status == 0, err
    whole = torch.load(run_folder(other) / "weights.pt", weights_only=True)
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_interrupt_from_a_terminal_reaches_the_loaders_workers_too(yard: Path) -> None:
    arguments = ["recipe=neuron", "trainer.max_epochs=50", *LONG, "runtime.num_loader_workers=2"]
    process = start(yard, *arguments, session=True)
    while not list(yard.glob("runs/*/checkpoints/last.ckpt")):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGINT)
    status, _, err = finish(process)
    assert status == 130, err
    assert err.count("saving at the end of this block") == 1
    assert "Traceback" not in err


def test_full_disk_keeps_the_last_good_checkpoint(yard: Path) -> None:
    arguments = ["recipe=lenet", *SMALL]
    signalled(yard, signal.SIGTERM, *arguments)
    checkpoint = run_folder(yard) / "checkpoints" / "last.ckpt"
    before = checkpoint.read_bytes()
    status, _, err = train(yard, *arguments, limits={resource.RLIMIT_FSIZE: 200_000})
    assert status == 2, err
    assert last_line(err).startswith("error: a file has reached the size that is allowed")
    assert "Traceback" not in err
    assert checkpoint.read_bytes() == before
    assert json.loads((run_folder(yard) / "outcome.json").read_text())["status"] == "FAILED"
    assert train(yard, *arguments)[0] == 0


def test_out_of_memory_is_one_line(yard: Path) -> None:
    huge = ["recipe=perceptron", "model.hidden_sizes=[60000,60000]", *SMALL]
    status, _, err = train(yard, *huge, limits={resource.RLIMIT_AS: 6 * 2**30})
    assert status == 2, err
    assert last_line(err).startswith(
        "error: out of memory with batches of 16 samples. Lower trainer.batch_size"
    )
    assert "Traceback" not in err


def test_divergence_is_one_line_and_is_told(yard: Path) -> None:
    (yard / "tell.py").write_text("import sys; open('told.json', 'w').write(sys.stdin.read())")
    telling = f"runtime.on_failure='{sys.executable} tell.py'"
    diverging = ["recipe=neuron", "optimizer=sgd", "optimizer.lr=1e30", *SMALL]
    status, _, err = train(yard, *diverging, telling)
    assert status == 2, err
    told = json.loads((yard / "told.json").read_text())
    assert (told["kind"], told["recipe"], told["status"]) == ("training", "neuron", "FAILED")
    assert "diverged" in told["reason"]
    assert Path(told["run_folder"]).resolve() == run_folder(yard).resolve()
    assert "diverged" in last_line(err)
    assert "learning rate" in last_line(err)
    assert "Traceback" not in err
    assert json.loads((run_folder(yard) / "outcome.json").read_text())["status"] == "FAILED"


def test_hostile_checkpoint_is_one_line_and_runs_nothing(yard: Path) -> None:
    arguments = ["recipe=neuron", *SMALL]
    signalled(yard, signal.SIGKILL, *arguments)

    class Bomb:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(yard / "owned"),)

    path = run_folder(yard) / "checkpoints" / "last.ckpt"
    torch.save({**torch.load(path, weights_only=True), "hyper_parameters": {"_instantiator": Bomb()}}, path)
    path.with_name("before_last.ckpt").unlink(missing_ok=True)  # it would be gone on from
    status, _, err = train(yard, *arguments)
    assert status == 2, err
    assert "nothing of it was run" in last_line(err)
    assert "Traceback" not in err
    assert not (yard / "owned").exists()


def test_wrong_shapes_are_refused_before_anything_is_made(yard: Path) -> None:
    status, _, err = train(yard, "recipe=lenet", "model.num_filters=[8,8,8,8]", *SMALL)
    assert status == 2
    assert last_line(err).startswith("error: ")
    assert "kernel_size" in err
    assert not (yard / "runs").exists()


def test_every_point_of_a_sweep_has_its_shapes_checked_before_the_first_is_trained(yard: Path) -> None:
    status, _, err = train(yard, "-m", "recipe=lenet", "model.kernel_size=3,19", *SMALL)
    assert status == 2
    assert "a window of kernel_size=19 does not fit" in last_line(err)
    assert not (yard / "runs").exists()


def test_sweep_goes_on_after_a_failed_job_and_tells_of_it(yard: Path) -> None:
    sweep = ["-m", "recipe=neuron", "optimizer=sgd", "optimizer.lr=0.01,1e30,0.02", *SMALL]
    status, _, err = train(yard, *sweep)
    assert status == 2
    assert "error: job 2: the training diverged" in err
    assert "1 of 3 jobs failed" in last_line(err)
    statuses = [json.loads(path.read_text())["status"] for path in (yard / "runs").glob("*/outcome.json")]
    assert sorted(statuses) == ["FAILED", "FINISHED", "FINISHED"]


def test_two_processes_never_train_the_same_run(yard: Path) -> None:
    arguments = ["recipe=lenet", "trainer.max_epochs=50", *LONG]
    first = start(yard, *arguments)
    while not list(yard.glob("runs/*/checkpoints/last.ckpt")):
        assert first.poll() is None
        time.sleep(0.05)
    status, _, err = train(yard, *arguments)
    first.terminate()
    assert finish(first)[0] == 143
    assert status == 2
    assert "another process is training" in last_line(err)


def test_help_and_refusals_import_no_torch(yard: Path) -> None:
    for arguments in (
        ["--help"],
        ["recipe=lenett"],
        ["plan=nothing.yaml"],
        ["recipe=neuron", "--cfg", "job"],
    ):
        done = subprocess.run(
            [sys.executable, "-X", "importtime", "-m", "pipelines.train", *arguments],
            cwd=yard,
            env=environment(),
            capture_output=True,
            text=True,
        )
        imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines() if "|" in line}
        assert "pipelines" in imported
        assert not {"torch", "pytorch_lightning", "mlflow", "ray"} & imported, arguments
