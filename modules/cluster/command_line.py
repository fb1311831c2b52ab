"""The command that runs on a cluster: the user's own overrides, and what only the cluster knows."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from modules.cluster.cluster_settings import Cluster, KubeRayCluster, LocalCluster, RayCluster, SlurmCluster
from modules.cluster.job import chosen_keys, hydra_value
from modules.configuration.errors import UserError
from modules.tracking.store import SQLITE, database_file, quoted


@dataclass(frozen=True)
class CommandLine:
    """What stands after `--`.

    Attributes:
        overrides: in their order.
        multirun: whether it is a sweep.
    """

    overrides: list[str]
    multirun: bool

    def arguments(self, added: list[str]) -> list[str]:
        """Of `python`, with overrides of the cluster's behind the user's."""
        return ["-m", "pipelines.train", *(["-m"] if self.multirun else []), *self.overrides, *added]


def read_command_line(argv: list[str]) -> CommandLine:
    """Takes Hydra's command line apart; of its flags, a job can have -m alone.

    Raises:
        UserError: there is nothing, or a flag that asks for an answer instead of a training.
    """
    from hydra._internal.utils import get_args_parser

    if not argv:
        raise UserError("nothing to submit stands after --", "Give overrides: ... -- recipe=lenet")
    parser = get_args_parser()
    parser.error = _refuse
    chosen = vars(parser.parse_args(argv))
    flags = [name for name, value in chosen.items() if value and name not in ("overrides", "multirun", "run")]
    if flags:
        raise UserError(
            f"a job takes no --{flags[0].replace('_', '-')}", "Of Hydra's flags it takes -m alone"
        )
    return CommandLine(list(chosen["overrides"]), bool(chosen["multirun"]))


def cluster_overrides(line: CommandLine, cluster: Cluster, tracking: dict[str, Any]) -> list[str]:
    """The overrides that only the cluster knows; what the user says of them stays as it is.

    Args:
        line: the user's.
        cluster: where it is to run.
        tracking: section of the composed configuration.
    """
    chosen = chosen_keys(line.overrides)
    added: dict[str, str] = {}
    single = isinstance(cluster, SlurmCluster) and cluster.num_nodes == 1
    if not single:
        # One node of SLURM needs no cluster: it trains as at home, and a Ray of its own stays on loopback.
        added["runtime"] = "ray"
        added["runtime.address"] = "auto"
    if line.multirun and not chosen & {"hydra/sweeper", "hydra/launcher"}:
        added["hydra/sweeper"] = "ray"
    if isinstance(cluster, SlurmCluster | KubeRayCluster) and cluster.price_per_hour is not None:
        added["runtime.price_per_hour"] = f"{cluster.num_nodes * cluster.price_per_hour:g}"
    storage = storage_of(cluster)
    if storage is not None:
        added["runtime.storage"] = hydra_value(storage)
        added |= _tracking_in(storage, tracking)
    return [f"{key}={value}" for key, value in added.items() if key not in chosen]


def storage_of(cluster: Cluster) -> str | None:
    """The folder of runs and shards as the nodes see it; None where they share none."""
    match cluster:
        case LocalCluster(storage=storage) | SlurmCluster(storage=storage):
            return str(Path(storage).absolute())
        case RayCluster(storage=storage) | KubeRayCluster(storage=storage):
            return storage


def check_capacity(cluster: Cluster, runtime: dict[str, Any]) -> None:
    """Refuses workers that the nodes asked for could never hold.

    Raises:
        UserError: they want more than there will be.
    """
    if isinstance(cluster, RayCluster) or runtime["backend"] == "local":
        return  # that cluster is asked; one process takes what there is
    for kind in ("cpus", "gpus"):
        needed = runtime[f"{kind}_per_worker"] * runtime["num_workers"]
        there = getattr(cluster, f"{kind}_per_node") * cluster.num_nodes
        if needed > there:
            raise UserError(
                f"runtime: {runtime['num_workers']} workers want {needed:g} {kind.upper()[:-1]}s,"
                f" {cluster.num_nodes} nodes have {there}",
                f"Raise cluster.num_nodes or cluster.{kind}_per_node",
            )


def _tracking_in(storage: str, tracking: dict[str, Any]) -> dict[str, str]:
    """An SQLite tracker whose path is relative lies in the storage: a job has a working folder of its own."""
    uri, root = tracking["uri"], tracking["artifact_root"]
    if uri is None or not uri.startswith(SQLITE):
        return {}
    added = {"tracking.uri": hydra_value(SQLITE + quoted(str(Path(storage) / database_file(uri))))}
    if root is not None and "://" not in root:
        added["tracking.artifact_root"] = hydra_value(str(Path(storage) / root))
    return added


def _refuse(message: str) -> Any:
    raise UserError(message, "See python -m pipelines.train --help")
