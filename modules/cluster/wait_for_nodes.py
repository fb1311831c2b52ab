"""Waits until a Ray cluster that is being started has all its nodes.

python -m modules.cluster.wait_for_nodes address=node1:6379 num_nodes=4
"""

import time
from dataclasses import dataclass
from typing import Any

from modules.cluster.connection import check_head
from modules.configuration.command import arguments, run
from modules.configuration.errors import UserError


@dataclass(frozen=True)
class Arguments:
    """
    Args:
        address: host:port of the head.
        num_nodes: how many there will be, the head among them.
        timeout_s: seconds to wait.
    """

    address: str
    num_nodes: int
    timeout_s: float = 180.0


def main(argv: list[str]) -> None:
    """Raises:
    UserError: not all nodes came.
    """
    chosen = arguments(argv, Arguments, __doc__ or "")
    until_s = time.monotonic() + chosen.timeout_s
    reason = UserError("no node came")
    while time.monotonic() < until_s:
        try:
            check_head(chosen.address)
        except UserError as error:
            reason = error
        else:
            there = _num_nodes(chosen.address)
            if there >= chosen.num_nodes:
                return
            reason = UserError(f"{there} of {chosen.num_nodes} nodes came")
        time.sleep(1)
    raise UserError(f"after {chosen.timeout_s:.0f} s: {reason.problem}", "See the log of srun's step")


def _num_nodes(address: str) -> int:
    from ray import _raylet

    client: Any = _raylet.GcsClient(address=address)  # pyright: ignore[reportAttributeAccessIssue]
    return sum(node.state == 0 for node in client.get_all_node_info().values())


if __name__ == "__main__":
    run(main)
