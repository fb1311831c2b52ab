"""Keeps torch's compiler and its symbolic shapes from being imported where nothing is compiled: most of what
`plan` would take.

Before the first dispatch mode or optimiser runs, torch spends two seconds on importing `torch._dynamo`, only
to tell it to stay out of them (`torch._disable_dynamo`); and a check inside a kernel of the meta device
imports `torch.fx.experimental.symbolic_shapes` to ask whether a plain truth value is true.
"""

import functools
import operator
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import Any

_COMPILER = "torch._dynamo"
_SYMBOLS = "torch.fx.experimental.symbolic_shapes"


def _disable(function: Callable[..., Any], recursive: bool = True, *, wrapping: bool = True) -> Any:
    return function


def _of_plain(name: str, answer: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A function of symbols that answers for plain values itself, and asks the real one of any other."""

    def asked(value: Any) -> Any:
        if type(value) in (bool, int):
            return answer(value)
        _remove(_SYMBOLS)
        return getattr(import_module(_SYMBOLS), name)(value)

    return asked


_ANSWERS: Mapping[str, Mapping[str, Callable[..., Any]]] = {
    _COMPILER: {"disable": _disable, "graph_break": lambda msg="": None},
    _SYMBOLS: {
        **{
            name: _of_plain(name, lambda value: value)
            for name in (
                "expect_true",
                "guard_or_false",
                "guard_or_true",
                "guard_size_oblivious",
                "statically_known_true",
            )
        },
        "sym_eq": lambda one, other: one == other if isinstance(one, int) else tuple(one) == tuple(other),
        "sym_and": lambda *values: functools.reduce(operator.and_, values),
        "sym_or": lambda *values: functools.reduce(operator.or_, values),
        "is_nested_int": _of_plain("is_nested_int", lambda value: False),
        "has_guarding_hint": _of_plain("has_guarding_hint", lambda value: True),
        "guarding_hint_or_throw": _of_plain("guarding_hint_or_throw", lambda value: value),
    },
}


class _StandIn(ModuleType):
    """Answers for a module that is not there; asked for anything else, it makes way for the real one."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what the import system asks of every module
            raise AttributeError(name)
        _remove(self.__name__)
        return getattr(import_module(self.__name__), name)


@contextmanager
def without_compiler() -> Iterator[None]:
    """Within it nothing must be compiled; what is imported already stays as it is."""
    absent = [name for name in _ANSWERS if name not in sys.modules]
    for name in absent:
        stand_in = sys.modules[name] = _StandIn(name)
        vars(stand_in).update(_ANSWERS[name])
    try:
        yield
    finally:
        for name in absent:
            _remove(name)


def _remove(name: str) -> None:
    if isinstance(sys.modules.get(name), _StandIn):
        del sys.modules[name]
        parent, _, last = name.rpartition(".")
        if isinstance(vars(sys.modules[parent]).get(last), _StandIn):
            delattr(sys.modules[parent], last)
