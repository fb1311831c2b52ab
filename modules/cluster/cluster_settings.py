"""The sections of conf/cluster/: one dataclass a file, which is its schema. Every field is read by code."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_type_hints

import yaml

from modules.configuration.bounded_yaml import check_size
from modules.configuration.composition.key_locations import CONF, shown
from modules.configuration.errors import ConfigError, UserError
from modules.configuration.names import suggest
from modules.configuration.schema.ranges import at_least
from modules.configuration.schema.settings import read
from modules.configuration.yaml_files import parse_yaml

# A word of these settings becomes a line of a script or a name in Kubernetes.
_WORD = re.compile(r"[A-Za-z0-9][\w.,:/@+*-]*", re.ASCII)


@dataclass(frozen=True)
class LocalCluster:
    """Several Ray nodes on this machine, for trying things out.

    Attributes:
        num_nodes: the head among them.
        cpus_per_node: cores that each claims to have.
        gpus_per_node: GPUs that each claims to have.
        own_addresses: 127.0.0.1, 127.0.0.2, ... instead of one address with many ports; Ray then listens on
            every interface for all but the first, and wants the token there too.
        object_store_mib: memory for objects of each node.
        storage: folder of runs and shards.
        grace_s: seconds between SIGTERM and SIGKILL when a job is cancelled.
    """

    num_nodes: int
    cpus_per_node: int
    gpus_per_node: int
    own_addresses: bool
    object_store_mib: int
    storage: str
    grace_s: int

    def __post_init__(self) -> None:
        _check_nodes(self)
        at_least(76, "object_store_mib", self.object_store_mib)
        at_least(0, "grace_s", self.grace_s)


@dataclass(frozen=True)
class RayCluster:
    """A Ray cluster that runs already.

    Attributes:
        address: of its dashboard, where the Jobs API is.
        storage: folder of runs and shards that every node sees; null sends the shards along and leaves the
            results on the nodes.
        grace_s: seconds between SIGTERM and SIGKILL when a job is cancelled.
    """

    address: str
    storage: str | None
    grace_s: int

    def __post_init__(self) -> None:
        if not re.fullmatch(r"https?://[^\s/]+", self.address):
            raise ConfigError(
                "address", f"{self.address!r} is no http://host:port", "Name the dashboard's address"
            )
        if self.storage is not None:
            _check_absolute("storage", self.storage)
        at_least(0, "grace_s", self.grace_s)


@dataclass(frozen=True)
class SlurmCluster:
    """A batch job of SLURM, which starts Ray across its nodes where there are several.

    Attributes:
        num_nodes: nodes of the job.
        cpus_per_node: cores on each.
        gpus_per_node: GPUs on each.
        memory_per_node: such as 16G; null is the partition's default.
        time_limit: such as 1-00:00:00; null is the partition's default.
        partition: null is the cluster's default.
        account: null is the user's default.
        qos: null is the account's default.
        constraint: features that a node must have.
        grace_s: seconds before the time limit at which the job is asked to save and is queued again.
        storage: folder of runs and shards that every node sees.
        python: the interpreter on the nodes; null is this one.
        setup: shell lines that come first, such as `module load cuda`.
    """

    num_nodes: int
    cpus_per_node: int
    gpus_per_node: int
    memory_per_node: str | None
    time_limit: str | None
    partition: str | None
    account: str | None
    qos: str | None
    constraint: str | None
    grace_s: int
    storage: str
    python: str | None
    setup: list[str]

    def __post_init__(self) -> None:
        _check_nodes(self)
        at_least(10, "grace_s", self.grace_s)
        for name in ("memory_per_node", "time_limit", "partition", "account", "qos", "constraint"):
            _check_word(name, getattr(self, name))


@dataclass(frozen=True)
class KubeRayCluster:
    """A RayJob of KubeRay: a Ray cluster in Kubernetes for one job.

    Attributes:
        num_nodes: worker pods; the head pod trains nothing.
        cpus_per_node: cores of each worker.
        gpus_per_node: GPUs of each worker.
        memory_per_node: such as 8Gi.
        image: holds Python, Ray and what constraints.txt pins; see cluster/kuberay/Dockerfile.
        namespace: null is kubectl's.
        claim: the PersistentVolumeClaim that every pod mounts at `storage`; it must allow many writers.
        storage: where, in the pods.
        token_secret: a Secret with the key auth_token; null lets KubeRay make one for each cluster.
        env_secret: a Secret whose entries become environment variables, such as MLFLOW_TRACKING_PASSWORD.
        grace_s: seconds that a pod gets to save.
    """

    num_nodes: int
    cpus_per_node: int
    gpus_per_node: int
    memory_per_node: str
    image: str
    namespace: str | None
    claim: str
    storage: str
    token_secret: str | None
    env_secret: str | None
    grace_s: int

    def __post_init__(self) -> None:
        _check_nodes(self)
        at_least(0, "grace_s", self.grace_s)
        for name in ("memory_per_node", "image", "namespace", "claim", "token_secret", "env_secret"):
            _check_word(name, getattr(self, name))
        _check_absolute("storage", self.storage)


Cluster = LocalCluster | RayCluster | SlurmCluster | KubeRayCluster

KINDS: dict[str, type[Cluster]] = {
    "local": LocalCluster,
    "ray": RayCluster,
    "slurm": SlurmCluster,
    "kuberay": KubeRayCluster,
}


def read_cluster(name: str, overrides: list[str], conf: Path = CONF) -> Cluster:
    """The settings of conf/cluster/<name>.yaml with overrides such as `cluster.num_nodes=3`.

    Raises:
        UserError: naming the file or override and the key at fault.
    """
    if name not in KINDS:
        raise UserError(f"cluster={name} is unknown", suggest(name, KINDS))
    path = conf / "cluster" / f"{name}.yaml"
    values = parse_yaml(path)
    hints = get_type_hints(KINDS[name])
    origin = {}
    for override in overrides:
        key, _, text = override.partition("=")
        key = key.removeprefix("cluster.")
        origin[f"cluster.{key}"] = f"command line ({override})"
        try:
            # YAML would read 04:00:00 as a number.
            is_text = hints.get(key) in (str, str | None) and text != "null"
            check_size(text, repr(override))
            values[key] = text if is_text else yaml.safe_load(text)
        except yaml.YAMLError:
            raise UserError(f"{override!r} cannot be read", "Put the value in quotes") from None
    try:
        return read(KINDS[name], values, "cluster")
    except ConfigError as fault:
        raise fault.at(origin.get(fault.key, shown(path))) from None


def _check_nodes(cluster: Any) -> None:
    for name in ("num_nodes", "cpus_per_node"):
        at_least(1, name, getattr(cluster, name))
    at_least(0, "gpus_per_node", cluster.gpus_per_node)


def _check_word(name: str, value: str | None) -> None:
    if value is not None and not _WORD.fullmatch(value):
        raise ConfigError(name, f"{value!r} is no single word of letters, digits and . , : / @ + * - _")


def _check_absolute(name: str, value: str) -> None:
    if not value.startswith("/"):
        raise ConfigError(name, f"{value!r} is no absolute path", "Name the folder as the nodes see it")
