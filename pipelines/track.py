"""Shows what every run has told its tracker, sends what is left, or opens the tracker's pages.

python -m pipelines.track
python -m pipelines.track drain
python -m pipelines.track dashboard
"""

import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from modules.configuration.command import arguments, run
from modules.configuration.errors import UserError
from modules.configuration.static_analysis.definitions import ROOT
from modules.tracking.backlog import Backlog, backlogs


@dataclass(frozen=True)
class Arguments:
    """
    Args:
        what: the table of all sweeps and runs, sending what is left, or MLflow's pages on loopback.
        runs: folder of the runs.
        sweeps: folder of the sweeps.
        tracking: the tracker of the pages, a file of conf/tracking/.
        port: of the pages.
    """

    what: Literal["table", "drain", "dashboard"] = "table"
    runs: str = "runs"
    sweeps: str = "sweeps"
    tracking: str = "sqlite"
    port: int = 5000


def main(argv: list[str]) -> int:
    """Returns the exit status: 1 if something is left that should have been sent."""
    chosen = arguments(argv, Arguments, __doc__ or "")
    if chosen.what == "dashboard":
        open_dashboard(chosen.tracking, chosen.port)
    found = backlogs(Path(chosen.runs), Path(chosen.sweeps))
    if not found:
        print(
            f"No run has been tracked below {chosen.runs}/. Train one: python -m pipelines.train recipe=lenet"
        )
        return 0
    if chosen.what == "table":
        show(found)
        return 0
    results = [drain_one(backlog) for backlog in found if not backlog.is_settled or _is_lost(backlog)]
    if not results:
        print("The trackers have everything.")
    return 0 if all(results) else 1


def show(found: list[Backlog]) -> None:
    """Prints the table of runs."""
    from rich.console import Console
    from rich.table import Table

    table = Table("run", box=None, header_style="bold")
    table.add_column("folder", no_wrap=True)
    table.add_column("status")
    table.add_column("tracker", no_wrap=True)
    table.add_column("sent", justify="right")
    table.add_column("left", justify="right")
    table.add_column("why", overflow="fold")
    colours = {"FINISHED": "green", "RUNNING": "cyan", "FAILED": "red", "KILLED": "yellow"}
    for backlog in found:
        table.add_row(
            f"{backlog.name} ({backlog.num_trials:,} trials)" if backlog.num_trials else backlog.name,
            str(backlog.folder.parent),
            f"[{colours[backlog.status]}]{backlog.status}",
            "off" if backlog.uri is None else "up to date" if backlog.is_settled else "behind",
            f"{backlog.num_sent:,}",
            f"{backlog.num_left:,}",
            backlog.error,
        )
    # What is piped on has no lines that are too long for it.
    console = Console()
    console.width = console.width if console.is_terminal else max(console.width, 160)
    console.print(table)
    if any(not backlog.is_settled and backlog.status != "RUNNING" for backlog in found):
        print("Send what is left: python -m pipelines.track drain")


def drain_one(backlog: Backlog) -> bool:
    """Sends what one run has left, and says how it went."""
    from filelock import Timeout

    from modules.tracking.sending_again import send_again
    from modules.tracking.tracking_folder import read_run

    what = f"{backlog.folder.parent} {backlog.name}"
    count = backlog.num_left or backlog.num_sent
    run = None if backlog.status == "RUNNING" else read_run(backlog.folder)
    try:
        why = "" if run is None else send_again(backlog.folder, run["settings"])
    except Timeout:
        print(f"{what}: a process of its own is at it")
        return True
    print(f"{what}: {count:,} left, {why}" if why else f"{what}: {count:,} sent, {backlog.status}")
    return not why


def _is_lost(backlog: Backlog) -> bool:
    """Whether the tracker has lost a run that it had."""
    from modules.tracking.sending_again import lacks
    from modules.tracking.tracking_folder import read_run

    run = read_run(backlog.folder)
    return run is not None and lacks(backlog.folder, run["settings"])


def open_dashboard(tracking: str, port: int) -> None:
    """Becomes MLflow's server of a local store; of a remote tracker, says where its pages are.

    Raises:
        UserError: there is no tracker to look at, or the port is taken.
    """
    settings = _settings(tracking)
    uri = settings["uri"]
    if uri is None:
        raise UserError(f"tracking={tracking} has no tracker", "Choose another: tracking=sqlite")
    if uri.startswith("http"):
        print(f"MLflow's pages are at {uri}")
        sys.exit(0)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise UserError(f"port {port}: {error.strerror}", f"Choose another: port={port + 1}") from None
    from modules.tracking.store import PAGES, open_store, page_of

    client, experiment = open_store(settings)
    for name, value in PAGES.items():  # of an experiment from before these tags
        client.set_experiment_tag(experiment, name, value)
    page = page_of(f"http://127.0.0.1:{port}", experiment)
    print(f"MLflow opens at {page} in a few seconds; Ctrl-C ends it.", flush=True)
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # its queue serves no page of ours
    # Whatever ends this process ends the server that MLflow starts from it, which would keep the port.
    os.environ["MLFLOW_FIRST_PROCESS"] = str(os.getpid())
    paths = [str(ROOT / "cluster" / "mlflow" / "ends_with_parent"), os.environ.get("PYTHONPATH")]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    command = ["-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", uri]
    if settings["artifact_root"] is not None:
        command += ["--default-artifact-root", settings["artifact_root"]]
    os.execv(sys.executable, [sys.executable, *command])


def _settings(tracking: str) -> dict[str, Any]:
    from modules.configuration.composition.compose import compose
    from modules.tracking.store import absolute_settings

    return absolute_settings(compose([f"tracking={tracking}"])["tracking"])


if __name__ == "__main__":
    run(main)
