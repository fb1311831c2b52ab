"""How many workers a cluster has room for."""

from collections.abc import Iterable

from modules.configuration.schema.execution_settings import RuntimeSettings


def room_for_workers(nodes: Iterable[dict[str, float]], runtime: RuntimeSettings) -> int:
    """The workers that fit on nodes, none of them on two; one on each where a worker takes nothing.

    Args:
        nodes: what each has in all, by Ray's names: CPU, GPU.
        runtime: what a worker takes.
    """
    # Three workers of 0.1 fit where there is 0.3.
    fitting = [
        min(
            (int(node.get(kind, 0.0) / number + 1e-6) for kind, number in runtime.each_worker.items()),
            default=1,
        )
        for node in nodes
    ]
    return sum(fitting)
