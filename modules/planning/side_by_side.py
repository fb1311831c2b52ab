"""Stages of several recipes side by side: each recipe's by a `dvc repro` of its own, after all that it needs.

DVC locks the repository while it looks at it, and lets go while a stage runs; what two stages write must not
be the same. So what recipes share, such as shards, is made before.
"""

import os
import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue

from modules.planning.catalogue_order import Entry
from modules.planning.repro import Repros, Stopped


def train_side_by_side(
    recipes: Sequence[Entry], jobs: int, begins: Callable[[Entry], bool], ends: Callable[[Entry, bool], None]
) -> None:
    """Trains and evaluates recipes, so many at once; every line of output begins with the recipe's name.

    Each has its share of the cores, unless OMP_NUM_THREADS says otherwise.

    Args:
        recipes: after those that they need.
        jobs: how many at once.
        begins: told of each, when all that it needs has been tried; False leaves it out.
        ends: told of each that was tried whether all went well.

    Raises:
        Stopped: a signal was received, and all that ran has ended.
    """
    given = os.environ.get("OMP_NUM_THREADS")
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // jobs)))
    waiting, running = list(recipes), {}
    over: SimpleQueue[tuple[Entry, bool]] = SimpleQueue()
    try:
        with Repros() as repros:
            while running or (waiting and not repros.received):
                for one in list(waiting):
                    pending = {other.name for other in waiting} | running.keys()
                    if len(running) == jobs or repros.received:
                        break
                    if one.needs & pending:
                        continue
                    waiting.remove(one)
                    if begins(one):
                        running[one.name] = _start(one, repros, over)
                if running:
                    ended, made = over.get()
                    running.pop(ended.name).join()
                    ends(ended, made)
    finally:
        if given is None:
            del os.environ["OMP_NUM_THREADS"]
    if repros.received:
        raise Stopped(repros.received[0])


def _start(one: Entry, repros: Repros, over: "SimpleQueue[tuple[Entry, bool]]") -> threading.Thread:
    stages = ["--single-item", f"train@{one.name}", f"evaluate@{one.name}"]
    process = repros.start(one.name, stages, pipe=True)

    def follow() -> None:
        assert process.stdout is not None
        with process.stdout as lines:
            for line in lines:
                print(f"{one.name} | {line.rstrip()}", flush=True)
        over.put((one, repros.ended(one.name)))

    thread = threading.Thread(target=follow, name=one.name)
    thread.start()
    return thread
