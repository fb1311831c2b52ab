"""Sends a training or a sweep to a cluster: after `--` stands what pipelines.train takes, -m included.

python -m pipelines.submit cluster=local -- recipe=lenet trainer.max_epochs=2
python -m pipelines.submit cluster=ray cluster.address=http://head:8265 -- -m recipe=lenet seed=0,1
python -m pipelines.submit cluster=slurm cluster.num_nodes=2 --dry-run -- recipe=lenet
python -m pipelines.submit cluster=kuberay -- recipe=lenet
python -m pipelines.submit follow
python -m pipelines.submit cancel job=lenet-1123-1530-a1b2

Everything is checked before anything is sent or started. Ctrl-C leaves the log, not the job. The keys of
cluster=NAME are in conf/cluster/NAME.yaml; how to get from here to a cluster, in cluster/README.md.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from modules.cluster.cluster_settings import (
    Cluster,
    KubeRayCluster,
    LocalCluster,
    RayCluster,
    SlurmCluster,
    read_cluster,
)
from modules.cluster.code_package import Package, collect, size, untracked
from modules.cluster.command_line import (
    CommandLine,
    check_capacity,
    cluster_overrides,
    read_command_line,
    storage_of,
)
from modules.cluster.job import Job, Record, chosen_keys, find_record, new_name, records
from modules.cluster.job_price import price_of
from modules.configuration.command import INTERRUPTED, arguments, run
from modules.configuration.errors import UserError

DATA = Path("data/shards")


@dataclass(frozen=True)
class Arguments:
    """
    Args:
        what: send a job; follow its log, ask after it, end it; list all; end the nodes of cluster=local.
        cluster: local, ray, slurm or kuberay, a file of conf/cluster/.
        job: its name; the newest where it is left out.
        dry_run: print what would be sent, and send nothing.
        full: with --dry-run, name every file that would be sent.
        detach: do not follow the log.
    """

    what: Literal["submit", "follow", "status", "cancel", "list", "stop"] = "submit"
    cluster: Literal["local", "ray", "slurm", "kuberay"] | None = None
    job: str | None = None
    dry_run: bool = False
    full: bool = False
    detach: bool = False


def main(argv: list[str]) -> int:
    """Returns the exit status: that of the job where its log is followed."""
    place = argv.index("--") if "--" in argv else len(argv)
    own, line = argv[:place], argv[place + 1 :]
    settings = [argument for argument in own if argument.startswith("cluster.")]
    chosen = arguments([argument for argument in own if argument not in settings], Arguments, __doc__ or "")
    if chosen.what == "submit":
        if chosen.cluster is None:
            raise UserError("cluster=... is missing", "Choose cluster=local, ray, slurm or kuberay")
        if place == len(argv):
            raise UserError(
                "nothing to submit: there is no --", "Give overrides behind it: ... -- recipe=lenet"
            )
        return submit(read_cluster(chosen.cluster, settings), read_command_line(line), chosen)
    if chosen.what == "list":
        return list_jobs()
    if chosen.what == "stop":
        from modules.cluster import local

        number = local.stop()
        print(f"{number} local nodes ended" if number else "No local nodes are running.")
        return 0
    record = find_record(chosen.job)
    if chosen.what == "follow":
        return follow(record)
    done = _kind(record).status(record) if chosen.what == "status" else _kind(record).cancel(record)
    print(f"{record.name}: {done}")
    return 0


def submit(cluster: Cluster, line: CommandLine, chosen: Arguments) -> int:
    """Checks a job and sends it, or shows what would be sent."""
    if not chosen.dry_run:
        _check_there(cluster)
    configs = check(line, cluster)
    added = cluster_overrides(line, cluster, configs[0]["tracking"])
    datasets = {config["data"]["name"]: DATA / config["data"]["name"] for config in configs}
    package = collect(datasets.values() if storage_of(cluster) is None else ())
    _check_tracked(configs, package)
    job = Job(new_name(configs[0]["name"]), line.arguments(added), line.arguments([])[2:], package)
    if chosen.dry_run:
        print(rendered(job, cluster, chosen.full), end="")
        return 0
    _notes(cluster, configs[0]["tracking"]["uri"], package)
    if price := price_of(cluster):
        print(price, flush=True)
    record = send(job, cluster, configs[0]["runtime"])
    record.write()
    if record.where.get("sent") is False:
        return 0
    if chosen.detach:
        print(f"{record.name}: submitted. Its log: python -m pipelines.submit follow job={record.name}")
        return 0
    return follow(record)


def check(line: CommandLine, cluster: Cluster) -> list[dict[str, Any]]:
    """Composes what the job will run and checks it as pipelines.train would.

    Returns:
        Configurations that name every dataset.

    Raises:
        UserError: as pipelines.train says it.
    """
    from modules.configuration.composition.compose import compose
    from modules.configuration.composition.hydra_loader import key_locations
    from modules.configuration.composition.key_locations import CONF

    kinds = [] if any(o.startswith("runtime=") for o in line.overrides) else _runtime(cluster)
    overrides = [*kinds, *line.overrides]
    visible = _visible_storage(cluster)
    array = cluster.array if isinstance(cluster, SlurmCluster) else None
    if array is not None:
        others = chosen_keys(o for o in line.overrides if o != "hydra/sweeper=ray")
        if not line.multirun or others & {"hydra/launcher", "hydra/sweeper"}:
            hint = "Behind -- stands -m and what varies: ... -- -m recipe=lenet seed=0,1,2,3"
            raise UserError("cluster.array shares the trials of a sweep, and this is none", hint)
        overrides = [*overrides, f"sweep.part=1/{array}"]
    if line.multirun:
        from modules.sweeps.control.sweep_setup import set_up

        own = [override for override in overrides if not override.startswith("hydra/")]
        sweep = set_up([*own, "runtime.address=auto", f"runtime.storage={visible}"])
        configs = [sweep.base.configuration]
    else:
        configs = [compose(overrides)]
        check_capacity(cluster, configs[0]["runtime"])
        from modules.configuration.plans.identity import shard_hashes
        from modules.shapes.shape_check import check_shapes

        shard_hashes(visible / DATA / configs[0]["data"]["name"])
        check_shapes(configs[0], key_locations(overrides, CONF))
    return configs


def send(job: Job, cluster: Cluster, runtime: dict[str, Any]) -> Record:
    """Sends a checked job."""
    from modules.cluster import jobs_api, kuberay, local, slurm
    from modules.configuration.schema.settings import RuntimeSettings, read

    match cluster:
        case LocalCluster():
            state = local.start(cluster)
            nodes = f"{len(state['nodes'])} nodes on {state['address']}"
            print(f"{nodes}; they stay until python -m pipelines.submit stop")
            return jobs_api.submit(state["dashboard"], job, sys.executable, cluster.grace_s, "local")
        case RayCluster():
            if runtime["backend"] == "ray":
                jobs_api.check_resources(cluster.address, read(RuntimeSettings, runtime, "runtime"))
            return jobs_api.submit(cluster.address, job, "python", cluster.grace_s)
        case SlurmCluster():
            return slurm.submit(job, cluster)
        case KubeRayCluster():
            return kuberay.submit(job, cluster)


def rendered(job: Job, cluster: Cluster, full: bool = False) -> str:
    """What would be sent: batch script, manifest, or request with its files, counted or `full` by name."""
    from modules.cluster import jobs_api, kuberay, slurm

    match cluster:
        case SlurmCluster():
            return "\n".join(slurm.scripts(job, cluster).values())
        case KubeRayCluster():
            return kuberay.manifest(job, cluster)
        case LocalCluster() | RayCluster():
            python = sys.executable if isinstance(cluster, LocalCluster) else "python"
            files = {name: path.stat().st_size for name, path in sorted(job.package.files.items())}
            asked = jobs_api.request(job, python, cluster.grace_s)
            sizes = {"num_files": len(files), "num_bytes": job.package.num_bytes}
            return json.dumps(asked | sizes | ({"files": files} if full else {}), indent=1) + "\n"


def follow(record: Record) -> int:
    """Prints a job's log until the job ends or Ctrl-C leaves it."""
    try:
        return _kind(record).follow(record)
    except KeyboardInterrupt:
        print(
            f"\n{record.name} goes on. Come back: python -m pipelines.submit follow job={record.name};"
            f" end it: python -m pipelines.submit cancel job={record.name}",
            file=sys.stderr,
        )
        return INTERRUPTED


def list_jobs() -> int:
    """Prints the jobs that were sent from here, each with its state as far as its cluster answers."""
    import time

    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold")
    for column in ("job", "cluster", "submitted", "state"):
        table.add_column(column, no_wrap=True)
    table.add_column("command", overflow="fold")
    for record in records():
        try:
            state = _kind(record).status(record)
        except UserError as error:
            state = error.problem
        when = time.strftime("%Y-%m-%d %H:%M", time.localtime(record.submitted_s))
        table.add_row(record.name, record.cluster, when, state, " ".join(record.typed))
    Console().print(table)
    return 0


def _kind(record: Record) -> Any:
    """The module that knows a job's kind of cluster."""
    from modules.cluster import jobs_api, kuberay, slurm

    return {"local": jobs_api, "ray": jobs_api, "slurm": slurm, "kuberay": kuberay}[record.cluster]


def _check_there(cluster: Cluster) -> None:
    """Asks first what takes no time: whether there is a cluster at all."""
    from modules.cluster import jobs_api, kuberay, slurm

    if isinstance(cluster, RayCluster):
        jobs_api.connect_jobs(cluster.address)
    elif isinstance(cluster, SlurmCluster):
        slurm.check_there(cluster)
    elif isinstance(cluster, KubeRayCluster):
        kuberay.check_there(cluster)


def _runtime(cluster: Cluster) -> list[str]:
    return [] if isinstance(cluster, SlurmCluster) and cluster.num_nodes == 1 else ["runtime=ray"]


def _visible_storage(cluster: Cluster) -> Path:
    """Where this machine finds the shards: in the cluster's storage if it is seen from here, else at home."""
    storage = storage_of(cluster)
    return Path(storage) if storage is not None and Path(storage).is_dir() else Path()


def _check_tracked(configs: list[dict[str, Any]], package: Package) -> None:
    from modules.shapes.make_plan import training_code

    reached = training_code(configs[0]).files
    missing = [name for name in reached if name not in package.files]
    if missing:
        raise UserError(f"git does not track {', '.join(missing)}, so the job would miss it", "git add it")


def _notes(cluster: Cluster, uri: str | None, package: Package) -> None:
    """What a user should know before the job is gone."""
    print(f"sending {len(package.files)} files, {size(package.num_bytes)}", flush=True)
    if left := untracked():
        print(f"note: not sent, since git does not track it: {', '.join(left[:5])}", file=sys.stderr)
    if (
        not isinstance(cluster, LocalCluster)
        and uri
        and any(host in uri for host in ("//127.", "//localhost"))
    ):
        print(f"note: tracking.uri={uri} is another machine on every node", file=sys.stderr)
    if storage_of(cluster) is None:
        print(
            "note: results stay in Ray's folder of the job; cluster.storage=/... keeps them", file=sys.stderr
        )


if __name__ == "__main__":
    run(main)
