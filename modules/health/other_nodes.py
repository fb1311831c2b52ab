"""The speeds of all nodes of a job, which each leaves in a folder that all of them see."""

import json
import time
from pathlib import Path

from modules.configuration.regular_file import read_regular_text
from modules.configuration.yaml_files import write_if_changed

_LOOK_EVERY_S = 0.2


def speeds_of_all(folder: Path, node: str, flops: float, num_nodes: int, wait_s: float) -> dict[str, float]:
    """Leaves this node's speed, and waits for those of the others.

    Args:
        folder: of this start of the job alone.
        node: this one.
        flops: operations a second.
        num_nodes: how many there are.
        wait_s: how long to wait for them.

    Returns:
        Operations a second by node, of those that came.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_if_changed(folder / f"{node}.json", json.dumps({"node": node, "flops": flops}))
    until_s = time.monotonic() + wait_s
    while True:
        found = {}
        for path in folder.glob("*.json"):
            try:
                told = json.loads(read_regular_text(path))
                found[str(told["node"])] = float(told["flops"])
            except (OSError, ValueError, KeyError, TypeError):
                continue  # being written
        if len(found) >= num_nodes or time.monotonic() >= until_s:
            return found
        time.sleep(_LOOK_EVERY_S)
