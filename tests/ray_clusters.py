"""A Ray cluster of several nodes on this machine, which come and go as a test asks for."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from ray.cluster_utils import Cluster

from modules.cluster.connection import read_environment
from modules.cluster.own_ray import leave
from modules.cluster.token import ensure_token

MEMORY = 80_000_000
"""Bytes of a node's object store."""


@contextmanager
def ray_cluster(monkeypatch: pytest.MonkeyPatch, num_cpus: int) -> Iterator[Cluster]:
    """A cluster whose head has so many CPUs, and which wants the token."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    ensure_token()
    read_environment()
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": num_cpus, "object_store_memory": MEMORY, "include_dashboard": False},
    )
    yield cluster
    leave()
    cluster.shutdown()
