"""A small Ray of several nodes on this machine, each a process group of its own, kept until it is stopped."""

import contextlib
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil

from modules.cluster.cluster_settings import LocalCluster
from modules.cluster.connection import LOOPBACK, check_head
from modules.cluster.token import ensure_token
from modules.configuration.errors import UserError
from modules.configuration.regular_file import read_regular_text
from modules.configuration.static_analysis.definitions import ROOT
from modules.configuration.yaml_files import write_if_changed

STATE = Path("build/cluster/local.json")
_START_S = 120.0
_STOP_S = 20.0


def start(settings: LocalCluster) -> dict[str, Any]:
    """Starts the nodes one after another, or finds them running.

    Returns:
        address of the head, dashboard, and nodes: pid, time of creation and address of each.

    Raises:
        UserError: a node does not start, or another number of nodes is running.
    """
    state = running()
    if state is not None:
        if len(state["nodes"]) != settings.num_nodes:
            raise UserError(
                f"{len(state['nodes'])} local nodes are running, {settings.num_nodes} are asked for",
                "Stop them first: python -m pipelines.submit stop",
            )
        return state
    ensure_token()
    folder = _folder()
    ports = _free_ports(3 + settings.num_nodes)
    nodes: list[dict[str, Any]] = []
    state = {
        "address": f"{LOOPBACK}:{ports[0]}",
        "dashboard": f"http://{LOOPBACK}:{ports[1]}",
        "nodes": nodes,
    }
    try:
        for number in range(settings.num_nodes):
            nodes.append(_start_node(settings, number, folder, ports))
            write_if_changed(STATE, json.dumps(state, indent=1) + "\n")
    except BaseException:
        stop()
        raise
    return state


def stop() -> int:
    """Ends the nodes and removes what Ray wrote for them, the logs of jobs included.

    Returns:
        How many there were.
    """
    state = _read()
    STATE.unlink(missing_ok=True)
    found = [process for node in state["nodes"] if (process := _process(node))] if state else []
    # The head last: the others say good-bye to it.
    for process in reversed(found):
        with contextlib.suppress(psutil.NoSuchProcess):  # they end while they are looked at
            family = [process, *process.children(recursive=True)]
            process.send_signal(signal.SIGTERM)
            _, alive = psutil.wait_procs(family, timeout=_STOP_S)
            for left in alive:
                with contextlib.suppress(psutil.NoSuchProcess):
                    left.kill()
    if state is not None:
        shutil.rmtree(_folder(), ignore_errors=True)
    return len(found)


def running() -> dict[str, Any] | None:
    """What `start` returned, while the head lives."""
    state = _read()
    if state is None or not state["nodes"] or _process(state["nodes"][0]) is None:
        return None
    return state


def _start_node(settings: LocalCluster, number: int, folder: Path, ports: list[int]) -> dict[str, Any]:
    address = f"127.0.0.{number + 1}" if settings.own_addresses else LOOPBACK
    command = ["--block", "--disable-usage-stats", f"--node-ip-address={address}"]
    command += [f"--node-name={'head' if number == 0 else f'node{number}'}"]
    command += [f"--num-cpus={settings.cpus_per_node}", f"--num-gpus={settings.gpus_per_node}"]
    command += [f"--object-store-memory={settings.object_store_mib * 2**20}"]
    gcs, dashboard, client, *agents = ports
    # A folder of its own: nodes that share one write the job's files there each, under the others' eyes.
    command += [f"--dashboard-agent-listen-port={agents[number]}", f"--temp-dir={folder / str(number)}"]
    if number == 0:
        command += ["--head", f"--port={gcs}", f"--ray-client-server-port={client}"]
        command += [f"--dashboard-host={LOOPBACK}", f"--dashboard-port={dashboard}"]
    else:
        command += [f"--address={LOOPBACK}:{gcs}"]
    log = folder / f"{number}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "modules.cluster.local_node", "start", *command],
            cwd=ROOT,
            # Metrics are a port without a token.
            env=os.environ
            | {"RAY_AUTH_MODE": "token", "RAY_enable_metrics_collection": "0", "PYTHONUNBUFFERED": "1"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,  # Ctrl-C here is not meant for it
        )
    _await_start(process, log, f"{LOOPBACK}:{ports[0]}" if number == 0 else None)
    return {"pid": process.pid, "created_s": psutil.Process(process.pid).create_time(), "address": address}


def _await_start(process: subprocess.Popen[bytes], log: Path, head: str | None) -> None:
    """Waits until Ray says that the node is up, and of the head until it answers."""
    until_s = time.monotonic() + _START_S
    while b"will now block forever" not in log.read_bytes():
        if process.poll() is not None or time.monotonic() > until_s:
            process.kill()
            lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
            raise UserError(
                f"a Ray node did not start: {lines[-1] if lines else 'it said nothing'}", f"See {log}"
            )
        time.sleep(0.1)
    if head is not None:
        os.environ.setdefault("RAY_AUTH_MODE", "token")
        check_head(head)


def _process(node: dict[str, Any]) -> psutil.Process | None:
    """The node's process; None where it ended, though another may have its number today."""
    try:
        process = psutil.Process(node["pid"])
        same = abs(process.create_time() - node["created_s"]) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return None
    return process if same else None


def _read() -> dict[str, Any] | None:
    try:
        return json.loads(read_regular_text(STATE))
    except (OSError, ValueError):
        return None


def _folder() -> Path:
    """For Ray's sockets, whose paths must stay below 108 characters; only this user may look into it."""
    mark = hashlib.sha256(str(Path.cwd()).encode()).hexdigest()[:8]
    folder = Path(tempfile.gettempdir()) / f"trainyard-{os.getuid()}-{mark}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise UserError(f"{folder} belongs to somebody else", "Set TMPDIR to a folder of your own")
    return folder


def _free_ports(number: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(number)]
        for probe in probes:
            probe.bind((LOOPBACK, 0))
        return [probe.getsockname()[1] for probe in probes]
