"""Jobs in a real SLURM: followed, preempted, out of time, over two nodes, cancelled, refused."""

import json
import os
import signal
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from modules.cluster.cluster_settings import SlurmCluster, read_cluster
from modules.cluster.code_package import Package, collect
from modules.cluster.job import Job
from modules.cluster.slurm import scripts
from modules.cluster.slurm import submit as submit_job
from modules.configuration.errors import UserError
from tests.cluster.hostile import HOSTILE, PRINT_ARGUMENTS
from tests.cluster.login_node import LoginNode
from tests.cluster.login_node import missing as no_ssh
from tests.cluster.slurm_daemons import Slurm, missing
from tests.cluster.yard import SMALL, start, submit, wait

pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(bool(missing()), reason=f"not installed: {', '.join(missing())} (slurm-wlm, munge)"),
    pytest.mark.timeout(600),
]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    with Slurm(tmp_path_factory.mktemp("slurm")) as daemons:
        yield daemons


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory, small_shards: Path) -> Path:
    folder = tmp_path_factory.mktemp("yard")
    (folder / "data").mkdir()
    (folder / "data" / "shards").symlink_to(small_shards)
    return folder


def records(yard: Path) -> list[dict]:
    found = [json.loads(path.read_text()) for path in (yard / "build" / "jobs").glob("*.json")]
    return sorted(found, key=lambda record: record["submitted_s"])


def log_of(record: dict) -> str:
    path = Path(record["where"]["folder"]) / "log.txt"
    return path.read_text() if path.exists() else ""


def detached(slurm: Slurm, yard: Path, *arguments: str) -> dict:
    """Submits without following, and returns the job's record."""
    status, out, err = submit(
        yard, "cluster=slurm", "--detach", *arguments, SLURM_CONF=str(slurm.configuration)
    )
    assert status == 0, out + err
    return records(yard)[-1]


def test_a_preempted_job_saves_and_goes_on_in_the_same_mlflow_run(slurm: Slurm, yard: Path) -> None:
    record = detached(
        slurm, yard, "cluster.partition=low", "--", "recipe=lenet", *SMALL, "trainer.max_epochs=40", "seed=1"
    )
    number = record["where"]["number"]
    wait(lambda: "epoch 1/" in log_of(record), "the first epoch")
    node = slurm.run("squeue", "--noheader", f"--jobs={number}", "--format=%N").strip()
    rival = slurm.run(
        "sbatch", "--parsable", "--partition=high", "--exclusive", f"--nodelist={node}",
        f"--output={yard}/rival.txt", "--wrap=sleep 1",
    ).strip()  # fmt: skip
    wait(lambda: "interrupted by SIGTERM" in log_of(record), "the end by SIGTERM")
    assert log_of(record).count("SIGTERM: saving") == 1  # asked once, not by the shell once more
    wait(lambda: slurm.state(rival) == "COMPLETED", "the end of the job that took the node")
    wait(lambda: slurm.state(number) == "PENDING", "the queue")
    slurm.start_now(number)
    status, out, err = submit(yard, "follow", f"job={record['name']}", SLURM_CONF=str(slurm.configuration))
    assert status == 0, out + err
    assert "going on with" in out and out.rstrip().endswith(f"{record['name']}: COMPLETED")

    (summary,) = [json.loads(path.read_text()) for path in yard.glob("runs/*/summary.json")]
    with sqlite3.connect(yard / "mlflow.db") as database:
        assert database.execute("select status from runs").fetchall() == [("FINISHED",)]
        steps = database.execute("select step from metrics where key = 'validation/loss'").fetchall()
    assert len(steps) == len(set(steps)) == 40
    assert max(steps)[0] == summary["steps"]


def test_a_job_out_of_time_queues_itself_again(slurm: Slurm, yard: Path) -> None:
    record = detached(
        slurm, yard, "cluster.time_limit=01:00:00", "--", "recipe=lenet", *SMALL,
        "trainer.max_epochs=100000", "seed=2", "tracking=none",
    )  # fmt: skip
    number = record["where"]["number"]
    assert "TimeLimit=01:00:00" in slurm.run("scontrol", "show", "job", number)
    wait(lambda: "epoch 1/" in log_of(record), "the first epoch")
    # What --signal=B:TERM@60 does a minute before the time limit: the script alone is told.
    slurm.run("scancel", "--batch", "--signal=TERM", number)
    wait(lambda: "is queued again" in log_of(record), "the end of its time")
    assert "interrupted by SIGTERM" in log_of(record)
    wait(lambda: slurm.state(number) == "PENDING", "the queue")
    slurm.start_now(number)
    wait(lambda: "going on with" in log_of(record), "the second start")
    status, out, _ = submit(yard, "cancel", f"job={record['name']}", SLURM_CONF=str(slurm.configuration))
    assert status == 0 and "was asked to stop" in out
    wait(lambda: slurm.state(number) == "CANCELLED", "the end")
    assert log_of(record).count("interrupted by SIGTERM") == 2  # cancelled, it saved once more


def test_an_array_shares_a_sweeps_trials_and_a_last_job_gathers_them(slurm: Slurm, yard: Path) -> None:
    asked = ["cluster=slurm", "cluster.array=2", "--", "-m", "recipe=neuron", *SMALL, "tracking=none"]
    swept = [*asked, "trainer.max_epochs=1", "optimizer.lr=0.011,0.012,0.013"]
    status, out, err = submit(yard, *swept, SLURM_CONF=str(slurm.configuration))
    assert status == 0, out + err
    folder = Path(records(yard)[-1]["where"]["folder"])
    trials = [(folder / f"log-{part}.txt").read_text().count("neuron: trial ") for part in (1, 2)]
    assert trials == [2, 1]
    assert "3 reused" in out and "best of 3 trials" in out
    assert "Ray" not in out


def test_two_nodes_that_are_well_train_one_model(slurm: Slurm, yard: Path) -> None:
    asked = ["cluster=slurm", "cluster.num_nodes=2", "cluster.health_check=true"]
    command = [*asked, "--", "recipe=neuron", *SMALL, "runtime.num_workers=2"]
    status, out, err = submit(
        yard, *command, "trainer.max_epochs=1", "tracking=none", SLURM_CONF=str(slurm.configuration)
    )
    assert status == 0, out + err
    folder = Path(records(yard)[-1]["where"]["folder"])
    assert len(list((folder / "code").glob("ray-*-[01].log"))) == 2
    speeds = [json.loads(path.read_text()) for path in folder.glob("health-0/*.json")]
    assert len({speed["node"] for speed in speeds}) == 2
    for speed in speeds:
        assert f"{speed['node']}: ok: a collective of 2 processes by gloo: right" in out
        assert f"{speed['node']}: ok: speed beside other nodes: " in out
    assert (folder / "token").stat().st_mode & 0o777 == 0o600
    token = (folder / "token").read_text()
    assert token not in (folder / "job.sbatch").read_text() + out
    # What Ray leaves neither keeps the nodes, nor fills the disk, nor speaks in the job's log.
    assert "comp" not in slurm.run("sinfo", "--noheader", "--Node", "--format=%t")
    temporary = os.environ.get("TMPDIR", "/tmp")
    assert not Path(temporary, f"ray-{records(yard)[-1]['where']['number']}").exists()
    assert "exit code" not in out and "srun" not in out


def test_a_node_that_is_not_well_ends_the_job_before_it_begins(slurm: Slurm, yard: Path) -> None:
    unwell = ["cluster.health_check=true", "cluster.setup=[export GLOO_SOCKET_IFNAME=none9]"]
    command = ["cluster=slurm", *unwell, "--", "recipe=neuron", *SMALL, "tracking=none", "seed=77"]
    status, out, err = submit(yard, *command, SLURM_CONF=str(slurm.configuration))
    assert status == 1, out + err
    (failed,) = [line for line in out.splitlines() if ": FAILED: " in line]
    assert "a collective of 2 processes by gloo" in failed and "GLOO_SOCKET_IFNAME" in failed
    assert "failed 1 of 8 checks" in out and "neuron: training" not in out


@pytest.mark.skipif(bool(no_ssh()), reason=f"not installed: {', '.join(no_ssh())} (openssh-server)")
def test_a_laptop_submits_by_ssh(
    slurm: Slurm, yard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLURM_CONF", raising=False)
    laptop, storage = tmp_path / "laptop", tmp_path / "storage"
    for folder in (laptop, storage):
        (folder / "data").mkdir(parents=True)
        (folder / "data" / "shards").symlink_to((yard / "data" / "shards").resolve())
    command = [
        "cluster=slurm", "cluster.login=login", f"cluster.storage={storage}",
        f"cluster.python={sys.executable}", "--", "recipe=neuron", *SMALL, "trainer.max_epochs=1",
        "tracking=none",
    ]  # fmt: skip
    with LoginNode(tmp_path / "login", SLURM_CONF=str(slurm.configuration)) as login:
        path = f"{login.bin}:{os.environ['PATH']}"
        status, out, err = submit(laptop, *command, PATH=path)
        assert status == 0, out + err
        assert "epoch 1/1" in out and out.rstrip().endswith("COMPLETED")
        assert len(list(storage.glob("runs/*/summary.json"))) == 1
        (record,) = records(laptop)
        folder = Path(record["where"]["folder"])
        assert folder.parent == storage / "jobs" and not (laptop / "jobs").exists()
        assert (folder / "token").stat().st_mode & 0o777 == 0o600
        status, out, _ = submit(laptop, "status", PATH=path)
        assert (status, out) == (0, f"{record['name']}: COMPLETED\n")

        refused = [word.replace(f"={storage}", "=/proc/none") for word in command]
        status, _, err = submit(laptop, *refused, PATH=path)
        assert status == 2 and "login: /proc/none/jobs" in err and err.count("\n") == 1, err
    status, _, err = submit(laptop, "cancel", PATH=path)
    assert status == 2 and err.startswith("error: ssh to login fails: ") and err.count("\n") == 1


def test_an_image_is_run_by_apptainer_or_pyxis(
    slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Apptainer's stand-in does nothing but say what it was asked for: there is none in Debian."""
    monkeypatch.setenv("SLURM_CONF", str(slurm.configuration))
    stand_in = tmp_path / "bin" / "apptainer"
    stand_in.parent.mkdir()
    stand_in.write_text('#!/bin/bash\necho "$@"\nshift 4\nexec "$@"\n')
    stand_in.chmod(0o755)
    settings = [
        f"cluster.storage={tmp_path}",
        "cluster.container=yard.sif",
        f"cluster.python={sys.executable}",
    ]
    cluster = read_cluster("slurm", [*settings, f"cluster.setup=['export PATH={stand_in.parent}:$PATH']"])
    assert isinstance(cluster, SlurmCluster)
    job = Job("inside", ["-c", "print('hello')"], [], collect())
    record = submit_job(job, cluster)
    wait(lambda: slurm.state(record.where["number"]) == "COMPLETED", "the job's end")
    asked, said = (Path(record.where["folder"]) / "log.txt").read_text().splitlines()
    assert asked == f"exec --bind {tmp_path} yard.sif {sys.executable} -c print('hello')" and said == "hello"

    pyxis = read_cluster("slurm", [*settings, "cluster.container_runtime=pyxis"])
    assert isinstance(pyxis, SlurmCluster)
    mounts = f"--container-image=yard.sif --container-mounts={tmp_path}:{tmp_path}"
    assert f"export TRAINYARD_SRUN_OPTIONS='{mounts}'" in scripts(job, pyxis)["job.sbatch"]


def test_arguments_reach_the_job_as_they_are(
    slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_CONF", str(slurm.configuration))
    cluster = read_cluster("slurm", [f"cluster.storage={tmp_path}"])
    assert isinstance(cluster, SlurmCluster)
    job = Job("hostile", ["-c", PRINT_ARGUMENTS, *HOSTILE], [], collect())
    record = submit_job(job, cluster)
    number = record.where["number"]
    wait(lambda: slurm.state(number) == "COMPLETED", "the job's end")
    assert f"JobName={job.name}" in slurm.run("scontrol", "show", "job", number)
    said = (Path(record.where["folder"]) / "log.txt").read_text()
    assert json.loads(said.removeprefix("ARGUMENTS ")) == HOSTILE
    assert not list(tmp_path.rglob("executed*"))


def test_ctrl_c_leaves_the_log_and_not_the_job(slurm: Slurm, yard: Path) -> None:
    process = start(
        yard, "cluster=slurm", "--", "recipe=lenet", *SMALL, "trainer.max_epochs=100000", "seed=3",
        "tracking=none", SLURM_CONF=str(slurm.configuration),
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if "epoch 1/" in line:
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    record = records(yard)[-1]
    assert process.returncode == 130
    assert f"follow job={record['name']}" in err
    status, out, _ = submit(yard, "status", SLURM_CONF=str(slurm.configuration))
    assert (status, out) == (0, f"{record['name']}: RUNNING\n")
    submit(yard, "cancel", SLURM_CONF=str(slurm.configuration))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["cluster.partition=nowhere"], "nvalid partition"),
        (["cluster.num_nodes=9"], "node"),
        (["cluster.cpus_per_node=999"], "node"),
        (["cluster.gpus_per_node=4"], "generic resource"),
    ],
)
def test_what_slurm_refuses_is_one_line_and_leaves_nothing(
    slurm: Slurm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: list[str], said: str
) -> None:
    monkeypatch.setenv("SLURM_CONF", str(slurm.configuration))
    cluster = read_cluster("slurm", [f"cluster.storage={tmp_path}", *settings])
    assert isinstance(cluster, SlurmCluster)
    job = Job("refused", ["-m", "pipelines.train"], [], Package({}))
    with pytest.raises(UserError, match=f"^SLURM's sbatch refuses: .*{said}"):
        submit_job(job, cluster)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["cluster.array=3", "--", "recipe=neuron"], "this is none. Behind -- stands -m"),
        (["cluster.array=3", "--", "-m", "hydra/sweeper=basic", "recipe=neuron", "seed=0,1"], "this is none"),
        (
            ["cluster.array=3", "--", "-m", "recipe=neuron", "seed=0,1", "sweep=asha"],
            "results of other trials",
        ),
        (["cluster.array=1", "--", "-m", "recipe=neuron", "seed=0,1"], "array"),
        (
            ["cluster.array=3", "cluster.num_nodes=2", "--", "-m", "recipe=neuron", "seed=0,1"],
            "have one node",
        ),
    ],
)
def test_what_no_array_can_do_is_one_line(yard: Path, arguments: list[str], said: str) -> None:
    status, out, err = submit(yard, "cluster=slurm", "--dry-run", *arguments)
    assert (status, out) == (2, "")
    assert said in err and err.count("\n") == 1


def test_no_controller_is_said_before_anything_is_composed(yard: Path, tmp_path: Path) -> None:
    configuration = tmp_path / "slurm.conf"
    configuration.write_text("ClusterName=none\nSlurmctldHost=localhost(127.0.0.1)\nSlurmctldPort=1\n")
    status, _, err = submit(
        yard, "cluster=slurm", "--", "recipe=nonsense", SLURM_CONF=str(configuration), SLURM_TIMEOUT="1"
    )
    assert status == 2
    assert err.startswith("error: SLURM's sinfo refuses") and err.count("\n") == 1
