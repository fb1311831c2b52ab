"""A worker tells its driver now and then that it is alive, and whether its training moves."""

import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import ray
from ray.exceptions import RayError
from torch import distributed
from torch._C._distributed_c10d import _dump_fr_trace_json  # pyright: ignore[reportAttributeAccessIssue]
from torch.distributed.distributed_c10d import _get_default_group

from modules.training.ray_workers.mailbox import Sign
from modules.training.runs.checkpoint_writer import THREAD

_BEAT_EVERY_S = 1.0
_GOOD_BYE_S = 5.0


@contextmanager
def signs_of_life(mailbox: Any, rank: int) -> Iterator[None]:
    """While entered, by the thread that trains, another thread writes to the mailbox.

    Args:
        mailbox: handle of a `modules.training.ray_workers.mailbox.Mailbox`.
        rank: of this worker.
    """
    still, ended = Stillness(threading.get_ident()), threading.Event()
    here = socket.gethostname(), ray.get_runtime_context().get_node_id()

    def sign() -> Sign:
        return Sign(rank, *here, os.getpid(), _collectives(), still.seconds())

    def beat() -> None:
        while not ended.is_set():
            try:
                asked = ray.get(mailbox.beat.remote(sign()))
            except RayError:
                return  # the driver is gone, and Ray ends this process too
            if asked == "report":
                mailbox.report.remote(rank, _where_it_stands())
            elif asked == "end":
                os._exit(1)
            ended.wait(_BEAT_EVERY_S)

    thread = threading.Thread(target=beat, name="signs-of-life", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(_GOOD_BYE_S)  # it may be waiting for an answer that will never come
        mailbox.beat.remote(sign(), ended=True)


class Stillness:
    """For how long a thread, and the one that writes its checkpoints, has stood at the same instructions, and
    has begun no collective.

    Args:
        thread: identity of the one that trains.
    """

    def __init__(self, thread: int) -> None:
        self._thread = thread
        self._place: list[tuple[int, int]] = []
        self._since_s = time.monotonic()

    def seconds(self) -> float:
        """Since a look found them elsewhere than the look before."""
        now_s, place = time.monotonic(), self._look()
        if place != self._place:
            self._place, self._since_s = place, now_s
        return now_s - self._since_s

    def _look(self) -> list[tuple[int, int]]:
        writers = [one.ident for one in threading.enumerate() if one.name == THREAD]
        frames = sys._current_frames()
        place = [(_collectives(), 0)]
        for thread in (self._thread, *writers):
            frame: FrameType | None = frames.get(thread or 0)
            while frame is not None:
                place.append((id(frame), frame.f_lasti))
                frame = frame.f_back
        return place


def _collectives() -> int:
    if not distributed.is_initialized():
        return 0
    group: Any = _get_default_group()
    return group._get_sequence_number_for_group()


def _where_it_stands() -> str:
    """The stack of each thread, and torch's record of the newest collectives."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    parts = []
    for ident, frame in sys._current_frames().items():
        stack = "".join(traceback.format_stack(frame))
        parts.append(f"Thread {names.get(ident, ident)}:\n{stack}")
    if distributed.is_initialized():
        parts.append(f"Collectives:\n{_dump_fr_trace_json().decode()}\n")
    return "\n".join(parts)
