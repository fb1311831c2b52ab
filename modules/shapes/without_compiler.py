"""Keeps torch's compiler from being imported where nothing is compiled: half of what `plan` would take.

Before the first dispatch mode or optimiser runs, torch spends two seconds on importing `torch._dynamo`, only
to tell it to stay out of them (`torch._disable_dynamo`).
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

_COMPILER = "torch._dynamo"


class _StandIn(ModuleType):
    """Answers as a compiler that is not there; asked for anything else, it makes way for the real one."""

    def disable(self, function: Callable[..., Any], recursive: bool = True, *, wrapping: bool = True) -> Any:
        return function

    def graph_break(self, msg: str = "") -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what the import system asks of every module
            raise AttributeError(name)
        _remove(self)
        return getattr(import_module(_COMPILER), name)


@contextmanager
def without_compiler() -> Iterator[None]:
    """Within it nothing must be compiled; where the compiler is imported already, nothing changes."""
    if _COMPILER in sys.modules:
        yield
        return
    stand_in = sys.modules[_COMPILER] = _StandIn(_COMPILER)
    try:
        yield
    finally:
        _remove(stand_in)


def _remove(stand_in: ModuleType) -> None:
    if sys.modules.get(_COMPILER) is stand_in:
        del sys.modules[_COMPILER]
