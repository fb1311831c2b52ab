"""An exported program in a process of its own, with limits of memory and time.

What `modules.registry.program_archive` lets through is arithmetic on tensors, which can still ask for more
memory than there is, never end, or reach past a tensor's end. The process is forked, so that it imports
nothing again.
"""

import io
import json
import multiprocessing
import resource
import signal
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import numpy
import psutil
import torch
from torch import Tensor

from modules.configuration.errors import UserError
from modules.registry.answering import run
from modules.registry.export import Description, load_program

LOAD_S = 120.0
ANSWER_S = 600.0
MEMORY_BYTES = 16 << 30
"""Of tensors, and never more than the machine has left."""
_HINT = "It is damaged, or was made to do harm"


class IsolatedProgram:
    """A program that is asked like its module; ends with this process.

    Args:
        file: the PT2 file; it is read before this returns.
        memory_bytes: the most that it may ask for beside what this process holds.
        answer_s: the longest that one batch may take.
        has_computed: whether torch may have computed in this process: its threads are not forked along, and
            the program would wait for them for ever, so it does without.

    Attributes:
        description: what it takes and gives.

    Raises:
        UserError: see `load_program`; or the program exceeds its limits.
    """

    def __init__(
        self,
        file: Path,
        memory_bytes: int = MEMORY_BYTES,
        answer_s: float = ANSWER_S,
        has_computed: bool = True,
    ) -> None:
        context = multiprocessing.get_context("fork")
        self._file, self._answer_s = file, answer_s
        self._ours, theirs = context.Pipe()
        self._process = context.Process(
            target=_answer_all, args=(file, memory_bytes, has_computed, theirs, self._ours), daemon=True
        )
        self._process.start()
        theirs.close()
        self.description = Description.from_plain(json.loads(self._received(LOAD_S)))

    def __call__(self, *arguments: Tensor) -> list[Tensor]:
        """The outputs of the program for a batch.

        Raises:
            RuntimeError: the program refuses the arguments.
            UserError: it exceeds its limits, or its process died.
        """
        with suppress(BrokenPipeError):  # that its process died is found when its answer is awaited
            self._ours.send_bytes(_packed(arguments))
        return _unpacked(self._received(self._answer_s))

    def _received(self, within_s: float) -> bytes:
        if not self._ours.poll(within_s):
            self._process.kill()
            raise UserError(f"{self._file} gives no answer within {within_s:g} s", _HINT)
        try:
            kind, content = self._ours.recv_bytes().split(b"\n", 1)
        except (EOFError, ConnectionError):
            self._process.join()
            how = _ended(self._process.exitcode or 0)
            raise UserError(f"{self._file} ended its process ({how})", _HINT) from None
        match kind:
            case b"refused":
                raise UserError(*json.loads(content))
            case b"failed":
                raise RuntimeError(content.decode())
        return content


def _ended(exit_code: int) -> str:
    return signal.Signals(-exit_code).name if exit_code < 0 else f"status {exit_code}"


def _answer_all(
    file: Path, memory_bytes: int, has_computed: bool, theirs: Connection, ours: Connection
) -> None:
    """The process: loads the program, then answers until nobody asks any more."""
    ours.close()
    if has_computed:
        torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever asks
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    limit = psutil.Process().memory_info().vms + min(memory_bytes, psutil.virtual_memory().available)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    try:
        module, description = load_program(file)
    except UserError as error:
        theirs.send_bytes(b"refused\n" + json.dumps([error.problem, error.hint]).encode())
        return
    theirs.send_bytes(b"answer\n" + json.dumps(description.to_plain()).encode())
    while True:
        try:
            arguments = _unpacked(theirs.recv_bytes())
        except EOFError:
            return
        try:
            theirs.send_bytes(b"answer\n" + _packed(run(module, arguments)))
        except Exception as error:
            if isinstance(error, MemoryError) or "allocate memory" in str(error):
                problem = f"{file} wants more memory than {memory_bytes >> 20:,} MiB, or than there is"
                told = json.dumps([problem, "Give fewer or smaller inputs"])
                theirs.send_bytes(b"refused\n" + told.encode())
            else:
                theirs.send_bytes(b"failed\n" + f"{error}".encode(errors="replace")[:2000])


def _packed(tensors: tuple[Tensor, ...] | list[Tensor]) -> bytes:
    buffer = io.BytesIO()
    for tensor in tensors:
        numpy.save(buffer, tensor.detach().numpy(), allow_pickle=False)
    return buffer.getvalue()


def _unpacked(content: bytes) -> list[Tensor]:
    buffer, found = io.BytesIO(content), []
    while buffer.tell() < len(content):
        found.append(torch.from_numpy(numpy.load(buffer, allow_pickle=False)))
    return found
