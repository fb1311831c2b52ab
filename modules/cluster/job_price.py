"""What a job may cost, in words: nodes times hours times the price of one."""

import re

from modules.cluster.cluster_settings import Cluster, KubeRayCluster, SlurmCluster

_SLURM_TIME = re.compile(r"(?:(\d+)-)?(\d+)(?::(\d+))?(?::(\d+))?")


def price_of(cluster: Cluster) -> str | None:
    """A sentence of what a job costs at most; None where no price is known.

    Args:
        cluster: where it runs; a job that saves and goes on later has all that time at each start.
    """
    if not isinstance(cluster, SlurmCluster | KubeRayCluster) or cluster.price_per_hour is None:
        return None
    num_nodes = cluster.num_nodes
    if isinstance(cluster, SlurmCluster) and cluster.array is not None:
        num_nodes = cluster.array  # at a time; the job that gathers them finds all trained
    each_hour = num_nodes * cluster.price_per_hour
    nodes = f"{num_nodes} node{'s' * (num_nodes > 1)}"
    if isinstance(cluster, SlurmCluster):
        limit_s = None if cluster.time_limit is None else slurm_seconds(cluster.time_limit)
    else:
        limit_s = cluster.time_limit_s
    if limit_s is None:
        return f"it costs {each_hour:,.2f} an hour for {nodes}, for as long as it runs: it has no time limit"
    hours = limit_s / 3600
    most = f"each start costs at most {hours * each_hour:,.2f}"
    return f"{most}: {nodes} for {hours:,.1f} h, {each_hour:,.2f} an hour"


def slurm_seconds(text: str) -> int | None:
    """The seconds of one of sbatch's forms of time: minutes, minutes:seconds, hours:minutes:seconds,
    days-hours, days-hours:minutes, days-hours:minutes:seconds; None where it is none of these.
    """
    found = _SLURM_TIME.fullmatch(text)
    if found is None:
        return None
    days, *parts = (None if part is None else int(part) for part in found.groups())
    first, second, third = parts
    if days is not None:
        hours, minutes, seconds = first, second or 0, third or 0
    elif third is not None:
        hours, minutes, seconds = first, second or 0, third
    else:
        hours, minutes, seconds = 0, first, second or 0
    return (days or 0) * 86400 + (hours or 0) * 3600 + (minutes or 0) * 60 + seconds
