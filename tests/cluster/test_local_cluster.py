"""A real Ray of three nodes on loopback: sockets, token, jobs followed and cancelled, a node that dies."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from modules.cluster import jobs_api, local
from modules.cluster.code_package import Package
from modules.cluster.connection import check_head
from modules.cluster.job import Job, Record
from modules.configuration.errors import UserError
from modules.configuration.schema.settings import RuntimeSettings
from tests.cluster.hostile import HOSTILE, PRINT_ARGUMENTS
from tests.cluster.ports import METRICS, answer_without_token
from tests.cluster.yard import SMALL, start, submit, wait
from tests.commands import environment

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

SETTINGS = ["cluster.num_nodes=3", "cluster.object_store_mib=80"]
START = """
import sys
from modules.cluster import local
from modules.cluster.cluster_settings import read_cluster
local.start(read_cluster("local", sys.argv[1:]))
"""
RUNTIME = RuntimeSettings("ray", "cpu", 1, 0, "auto", 1, 1, 0, 0, ".", "check")


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory, small_shards: Path) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("yard")
    (folder / "data").mkdir()
    (folder / "data" / "shards").symlink_to(small_shards)
    before = Path.cwd()
    os.chdir(folder)
    yield folder
    os.chdir(before)


@pytest.fixture(scope="module")
def cluster(yard: Path) -> Iterator[dict[str, Any]]:
    # In a process that ends, as a user's does.
    subprocess.run([sys.executable, "-c", START, *SETTINGS], env=environment(), check=True, timeout=280)
    state = local.running()
    assert state is not None
    yield state
    processes = [process for node in state["nodes"] for process in family(node["pid"])]
    assert local.stop() in (2, 3)  # one may have been killed
    wait(lambda: not any(map(runs, processes)), "the end of all processes", 20)
    assert local.running() is None


def family(pid: int) -> list[psutil.Process]:
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def runs(process: psutil.Process) -> bool:
    """Whether it is there, and no zombie that some init leaves lying."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def listening(node: dict[str, Any]) -> set[tuple[str, int]]:
    """Where a node's processes listen."""
    return {
        (connection.laddr.ip.removeprefix("::ffff:"), connection.laddr.port)
        for process in family(node["pid"])
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }


def test_every_socket_is_on_loopback_and_wants_the_token(cluster: dict[str, Any]) -> None:
    ports = set().union(*map(listening, cluster["nodes"]))
    assert {ip for ip, _ in ports} == {"127.0.0.1"}
    answers = {port: answer_without_token(f"127.0.0.1:{port}") for _, port in ports if port not in METRICS}
    assert set(answers.values()) == {"401", "UNAUTHENTICATED"}, answers


def test_the_head_and_its_jobs_want_the_token(
    cluster: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    check_head(cluster["address"])
    monkeypatch.setenv("RAY_AUTH_TOKEN", "wrong")
    for ask in (lambda: check_head(cluster["address"]), lambda: jobs_api.connect_jobs(cluster["dashboard"])):
        with pytest.raises(UserError, match="refuses the token"):
            ask()
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("HOME", str(tmp_path))
    for ask in (lambda: check_head(cluster["address"]), lambda: jobs_api.connect_jobs(cluster["dashboard"])):
        with pytest.raises(UserError, match="wants a token and there is none"):
            ask()


def test_where_no_cluster_is_that_is_said_at_once(cluster: dict[str, Any]) -> None:
    began_s = time.monotonic()
    with pytest.raises(UserError, match=r"no Ray cluster answers at 127\.0\.0\.1:1 "):
        check_head("127.0.0.1:1")
    with pytest.raises(UserError, match="no Ray cluster answers"):
        check_head(cluster["dashboard"].removeprefix("http://"))
    with pytest.raises(UserError, match=r"no Ray dashboard answers at http://127\.0\.0\.1:1"):
        jobs_api.connect_jobs("http://127.0.0.1:1")
    with pytest.raises(UserError, match=r"no Ray dashboard"):
        jobs_api.connect_jobs(f"http://{cluster['address']}")
    assert time.monotonic() - began_s < 30  # Ray's own client would wait for minutes


def test_more_than_there_is_is_refused_before_anything_is_sent(cluster: dict[str, Any], yard: Path) -> None:
    jobs_api.check_resources(cluster["dashboard"], RUNTIME)
    status, _, err = submit(
        yard, "cluster=ray", f"cluster.address={cluster['dashboard']}", f"cluster.storage={yard}", "--",
        "recipe=lenet", *SMALL, "runtime=ray", "runtime.gpus_per_worker=1",
    )  # fmt: skip
    assert status == 2
    assert "error: runtime: 1 workers want 1 GPUs, the cluster at http://127.0.0.1:" in err
    status, _, err = submit(
        yard, "cluster=local", *SETTINGS, "--", "recipe=lenet", *SMALL, "runtime.num_workers=4"
    )
    assert status == 2
    assert "4 workers want 4 CPUs, 3 nodes have 3" in err


def test_arguments_reach_the_job_as_they_are(cluster: dict[str, Any], yard: Path) -> None:
    job = Job("hostile", ["-c", PRINT_ARGUMENTS, *HOSTILE], [], Package({}))
    record = jobs_api.submit(cluster["dashboard"], job, sys.executable, 1)
    client = jobs_api.connect_jobs(cluster["dashboard"])
    wait(lambda: client.get_job_status("hostile").is_terminal(), "the job's end")
    (line,) = [line for line in client.get_job_logs("hostile").splitlines() if line.startswith("ARGUMENTS ")]
    assert json.loads(line.removeprefix("ARGUMENTS ")) == HOSTILE
    assert jobs_api.status(record) == "SUCCEEDED"
    assert not list(yard.rglob("executed*"))


def test_a_job_is_followed_to_its_end_and_a_failure_is_its_exit_status(
    cluster: dict[str, Any], yard: Path
) -> None:
    command = ["cluster=local", *SETTINGS, "--", "recipe=neuron", *SMALL, "tracking=none"]
    status, out, err = submit(yard, *command, "trainer.max_epochs=1")
    assert status == 0, out + err
    assert "sending " in out and "neuron: 56 steps" in out and out.rstrip().endswith(": SUCCEEDED")
    assert (yard / "runs").is_dir()
    status, out, _ = submit(yard, *command, "runtime=local", "trainer.max_epochs=2", "optimizer.lr=1e30")
    assert status == 1
    assert out.rstrip().endswith(": FAILED")
    status, out, _ = submit(yard, "list", COLUMNS="200")
    assert status == 0 and "SUCCEEDED" in out and "FAILED" in out and "optimizer.lr=1e30" in out


def test_left_with_ctrl_c_a_job_goes_on_and_saves_when_it_is_cancelled(
    cluster: dict[str, Any], yard: Path
) -> None:
    process = start(
        yard, "cluster=local", *SETTINGS, "--", "recipe=lenet", *SMALL, "tracking=none", "runtime=local",
        "trainer.max_epochs=100000",
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if "epoch 1/" in line:
            break
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    name = err.split("follow job=")[1].split(";")[0]
    assert submit(yard, "status", f"job={name}")[1] == f"{name}: RUNNING\n"
    assert submit(yard, "cancel", f"job={name}")[1] == f"{name}: was asked to stop\n"
    status, out, _ = submit(yard, "follow", f"job={name}")
    assert status == 1 and out.rstrip().endswith(f"{name}: STOPPED")
    assert "interrupted by SIGTERM: the same command goes on from" in out


def test_a_node_killed_during_a_sweep_loses_and_doubles_no_trial(cluster: dict[str, Any], yard: Path) -> None:
    status, out, err = submit(
        yard, "cluster=local", *SETTINGS, "--detach", "--", "-m", "recipe=lenet", *SMALL, "seed=range(0,4)",
        "trainer.max_epochs=6", "sweep.stack=false",
    )  # fmt: skip
    assert status == 0, out + err
    wait(lambda: len(running_trials(yard)) == 3, "a trial on every node")
    for process in family(cluster["nodes"][-1]["pid"]):
        process.kill()
    status, out, err = submit(yard, "follow")
    assert status == 0, out + err

    found = events(yard)
    assert [event for event in found if event["event"] == "lost"]
    ended = {event["trial"]: event["status"] for event in found if event["event"] == "ended"}
    assert ended == dict.fromkeys(range(4), "FINISHED")
    assert len([event for event in found if event["event"] == "ended"]) == 4
    with sqlite3.connect(yard / "mlflow.db") as database:
        runs = database.execute("select name, status from runs where name like 'lenet%'").fetchall()
        points = database.execute(
            "select run_uuid, step, count(*) from metrics where key = 'validation/loss' group by 1, 2"
        ).fetchall()
    assert {status for _, status in runs} == {"FINISHED"}
    assert len({run for run, _, _ in points}) == 4
    assert len(points) == 4 * 6 and {count for _, _, count in points} == {1}


def events(yard: Path) -> list[dict[str, Any]]:
    found = []
    for path in yard.glob("sweeps/*/ledger.jsonl"):
        for line in path.read_text().splitlines():
            try:
                found.append(json.loads(line))
            except ValueError:
                break
    return found


def running_trials(yard: Path) -> set[int]:
    found = events(yard)
    ended = {event["trial"] for event in found if event["event"] == "ended"}
    return {event["trial"] for event in found if event["event"] == "report"} - ended


def test_nodes_with_addresses_of_their_own_want_the_token_on_every_interface(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    settings = ["cluster.num_nodes=2", "cluster.object_store_mib=80", "cluster.own_addresses=true"]
    subprocess.run([sys.executable, "-c", START, *settings], env=environment(), check=True, timeout=280)
    state = local.running()
    assert state is not None
    try:
        assert [node["address"] for node in state["nodes"]] == ["127.0.0.1", "127.0.0.2"]
        first, second = map(listening, state["nodes"])
        assert {ip for ip, _ in first} == {"127.0.0.1"}
        assert {ip for ip, _ in second} > {"127.0.0.1", "127.0.0.2"}  # and every interface
        answers = {
            (ip, port): answer_without_token(f"127.0.0.2:{port}") for ip, port in second if ip != "127.0.0.1"
        }
        assert set(answers.values()) == {"401", "UNAUTHENTICATED"}, answers
        nodes = jobs_api.connect_jobs(state["dashboard"])._do_request("GET", "/api/v0/nodes").json()
        assert {node["node_ip"] for node in nodes["data"]["result"]["result"]} == {"127.0.0.1", "127.0.0.2"}
    finally:
        assert local.stop() == 2


def test_another_number_of_nodes_is_refused_while_some_run(cluster: dict[str, Any], yard: Path) -> None:
    status, _, err = submit(yard, "cluster=local", "cluster.num_nodes=2", "--", "recipe=lenet", *SMALL)
    assert status == 2
    assert "error: 3 local nodes are running, 2 are asked for" in err


def test_a_job_that_the_cluster_has_forgotten_is_one_line(cluster: dict[str, Any]) -> None:
    record = Record("gone", "ray", [], 0.0, {"address": cluster["dashboard"]})
    with pytest.raises(UserError, match=r"refused: .*gone does not exist"):
        jobs_api.status(record)
