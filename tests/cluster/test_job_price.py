"""What a job may cost, and SLURM's forms of time."""

import pytest

from modules.cluster.cluster_settings import read_cluster
from modules.cluster.job_price import price_of, slurm_seconds


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 5400),
        ("90:30", 5430),
        ("04:00:00", 14400),
        ("1-12", 129600),
        ("1-12:30", 131400),
        ("1-00:00:01", 86401),
        ("UNLIMITED", None),
    ],
)
def test_times_as_sbatch_reads_them(text: str, seconds: int | None) -> None:
    assert slurm_seconds(text) == seconds


def test_nodes_times_hours_times_price() -> None:
    cluster = read_cluster(
        "slurm", ["cluster.num_nodes=3", "cluster.time_limit=04:00:00", "cluster.price_per_hour=2.5"]
    )
    assert price_of(cluster) == "each start costs at most 30.00: 3 nodes for 4.0 h, 7.50 an hour"
    cluster = read_cluster("slurm", ["cluster.array=8", "cluster.time_limit=60", "cluster.price_per_hour=1"])
    assert price_of(cluster) == "each start costs at most 8.00: 8 nodes for 1.0 h, 8.00 an hour"
    cluster = read_cluster(
        "kuberay", ["cluster.num_nodes=2", "cluster.price_per_hour=1", "cluster.time_limit_s=1800"]
    )
    assert price_of(cluster) == "each start costs at most 1.00: 2 nodes for 0.5 h, 2.00 an hour"


def test_a_price_without_hours_is_said_as_such() -> None:
    cluster = read_cluster("slurm", ["cluster.price_per_hour=2"])
    assert (
        price_of(cluster) == "it costs 2.00 an hour for 1 node, for as long as it runs: it has no time limit"
    )
    assert price_of(read_cluster("slurm", [])) is None and price_of(read_cluster("ray", [])) is None
