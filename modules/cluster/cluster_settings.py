"""The sections of conf/cluster/: one dataclass a file, which is its schema. Every field is read by code."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_type_hints

import yaml

from modules.configuration.bounded_yaml import check_size
from modules.configuration.composition.key_locations import CONF, shown
from modules.configuration.errors import ConfigError, UserError
from modules.configuration.names import suggest
from modules.configuration.schema.ranges import at_least
from modules.configuration.schema.settings import read
from modules.configuration.yaml_files import parse_yaml

# Of sbatch, by its long name.
_OPTION = re.compile(r"[a-z][a-z-]+(=[A-Za-z0-9][\w.,:/@+*%-]*)?", re.ASCII)
_TOLERATION = ("key", "operator", "value", "effect", "tolerationSeconds")
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
        array: so many jobs of one node share the trials of a sweep, without Ray, and one more gathers them.
        gpu_type: such as h100; null takes any.
        memory_per_node: such as 16G; null is the partition's default.
        time_limit: such as 1-00:00:00; null is the partition's default.
        partition: null is the cluster's default.
        account: null is the user's default.
        qos: null is the account's default.
        constraint: features that a node must have.
        dependency: what comes first, such as afterok:1234; null waits for nothing.
        options: any further ones of sbatch, such as exclusive or mail-type=END.
        container: an image in which everything runs; null is the nodes' own system.
        container_runtime: apptainer, or pyxis, which is a part of SLURM.
        login: such as user@login.example or ssh://user@host:2222, where the job is submitted by SSH; null is
            this machine.
        grace_s: seconds before the time limit at which the job is asked to save and is queued again.
        storage: folder of runs and shards that every node sees.
        python: the interpreter on the nodes; null is this one, in a container or at a login node `python`.
        setup: shell lines that come first, such as `module load cuda`.
        price_per_hour: of a node, in whatever money; null is not known.
        health_check: whether each node is checked first (`pipelines.health`); where one fails no job starts.
    """

    num_nodes: int
    cpus_per_node: int
    gpus_per_node: int
    array: int | None
    gpu_type: str | None
    memory_per_node: str | None
    time_limit: str | None
    partition: str | None
    account: str | None
    qos: str | None
    constraint: str | None
    dependency: str | None
    options: list[str]
    container: str | None
    container_runtime: Literal["apptainer", "pyxis"]
    login: str | None
    grace_s: int
    storage: str
    python: str | None
    setup: list[str]
    price_per_hour: float | None
    health_check: bool

    def __post_init__(self) -> None:
        _check_nodes(self)
        _check_price(self.price_per_hour)
        at_least(10, "grace_s", self.grace_s)
        if self.array is not None:
            at_least(2, "array", self.array)
            if self.num_nodes > 1:
                raise ConfigError("array", f"its jobs have one node, not num_nodes={self.num_nodes}")
        words = (
            "gpu_type memory_per_node time_limit partition account qos constraint dependency container login"
        )
        for name in words.split():
            _check_word(name, getattr(self, name))
        for option in self.options:
            if not _OPTION.fullmatch(option):
                raise ConfigError("options", f"{option!r} is no option", "Write exclusive or mail-type=END")
        if self.gpu_type is not None and not self.gpus_per_node:
            raise ConfigError("gpu_type", f"{self.gpu_type} without a GPU", "Set cluster.gpus_per_node")
        if self.login is not None and not self.storage.startswith("/"):
            hint = "Name the folder as the nodes see it: cluster.storage=/..."
            raise ConfigError("login", f"cluster.storage={self.storage} is no absolute path", hint)


@dataclass(frozen=True)
class KubeRayCluster:
    """A RayJob of KubeRay: a Ray cluster in Kubernetes for one job.

    Attributes:
        num_nodes: worker pods; the head pod trains nothing.
        cpus_per_node: cores of each worker.
        gpus_per_node: GPUs of each worker.
        memory_per_node: such as 8Gi.
        head_memory: of the head pod.
        shared_memory: of /dev/shm in every pod, such as 4Gi; null is KubeRay's choice.
        image: holds Python, Ray and what constraints.txt pins; see cluster/kuberay/Dockerfile.
        pull_secrets: Secrets with which the image is pulled.
        namespace: null is kubectl's.
        service_account: of every pod; null is the namespace's default.
        fs_group: the group to which the claim is made writable; null leaves the claim as it is.
        claim: the PersistentVolumeClaim that every pod mounts at `storage`; it must allow many writers.
        storage: where, in the pods.
        node_selector: labels that a node must have.
        tolerations: of nodes' taints, each of key, operator, value, effect and tolerationSeconds.
        priority_class: of every pod; null is the cluster's default.
        queue: a LocalQueue of Kueue, which admits the job; null asks nobody.
        token_secret: a Secret with the key auth_token; null lets KubeRay make one for each cluster.
        env_secret: a Secret whose entries become environment variables, such as MLFLOW_TRACKING_PASSWORD.
        grace_s: seconds that a pod gets to save.
        time_limit_s: seconds after which KubeRay ends the job; null never.
        max_restarts: times that a job that failed begins again, on new pods, from its checkpoints.
        keep_s: seconds that the finished job's pods stay.
        price_per_hour: of a worker, in whatever money; null is not known.
        health_check: whether each node is checked first (`pipelines.health`); where one fails no job starts.
    """

    num_nodes: int
    cpus_per_node: int
    gpus_per_node: int
    memory_per_node: str
    head_memory: str
    shared_memory: str | None
    image: str
    pull_secrets: list[str]
    namespace: str | None
    service_account: str | None
    fs_group: int | None
    claim: str
    storage: str
    node_selector: dict[str, str]
    tolerations: list[dict[str, Any]]
    priority_class: str | None
    queue: str | None
    token_secret: str | None
    env_secret: str | None
    grace_s: int
    time_limit_s: int | None
    max_restarts: int
    keep_s: int
    price_per_hour: float | None
    health_check: bool

    def __post_init__(self) -> None:
        _check_nodes(self)
        _check_price(self.price_per_hour)
        for name, least in (
            ("grace_s", 0),
            ("max_restarts", 0),
            ("keep_s", 0),
            ("fs_group", 0),
            ("time_limit_s", 1),
        ):
            if getattr(self, name) is not None:
                at_least(least, name, getattr(self, name))
        words = (
            "memory_per_node head_memory shared_memory image namespace service_account claim priority_class"
        )
        for name in (*words.split(), "queue", "token_secret", "env_secret"):
            _check_word(name, getattr(self, name))
        for secret in self.pull_secrets:
            _check_word("pull_secrets", secret)
        for toleration in self.tolerations:
            if unknown := sorted(set(toleration) - set(_TOLERATION)):
                raise ConfigError(
                    "tolerations", f"a toleration has no {unknown[0]}", suggest(unknown[0], _TOLERATION)
                )
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


def _check_price(price: float | None) -> None:
    if price is not None and not 0 <= price < math.inf:
        raise ConfigError("price_per_hour", f"{price} is no price", "Give 0 or more, or null")


def _check_word(name: str, value: str | None) -> None:
    if value is not None and not _WORD.fullmatch(value):
        raise ConfigError(name, f"{value!r} is no single word of letters, digits and . , : / @ + * - _")


def _check_absolute(name: str, value: str) -> None:
    if not value.startswith("/"):
        raise ConfigError(name, f"{value!r} is no absolute path", "Name the folder as the nodes see it")
