"""Torch's recurrent kernels (`torch.lstm`, `gru`, `rnn_tanh`, `rnn_relu`) in exported programs of any length.

`torch.export` takes such a kernel apart, step by step, and so fixes the number of steps. Here it stays whole:
while a model is traced, an operator of the same signature that knows its shapes alone stands in its place,
and the finished graph calls ATen's own.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._C import DispatchKey
from torch.export import ExportedProgram

_ATEN = torch.ops.aten
_KERNELS: dict[str, Any] = {
    "lstm": _ATEN.lstm.input,
    "gru": _ATEN.gru.input,
    "rnn_tanh": _ATEN.rnn_tanh.input,
    "rnn_relu": _ATEN.rnn_relu.input,
}
_LIBRARY = torch.library.Library("trainyard", "FRAGMENT")
_SETTINGS = "Tensor[] params, bool biases, int layers, float dropout, bool train, bool both, bool batch_first"


def _shapes(input: Tensor, hidden: Tensor, both: bool, batch_first: bool) -> Tensor:
    size = hidden.shape[2] * (2 if both else 1)
    return input.new_empty(*input.shape[:2], size)


def _lstm(input, hidden, params, biases, layers, dropout, train, both, batch_first):  # type: ignore[no-untyped-def]
    first, second = hidden
    return _shapes(input, first, both, batch_first), torch.empty_like(first), torch.empty_like(second)


def _simple(input, hidden, params, biases, layers, dropout, train, both, batch_first):  # type: ignore[no-untyped-def]
    return _shapes(input, hidden, both, batch_first), torch.empty_like(hidden)


def _stand_in(name: str, schema: str, fake: Callable[..., Any]) -> Any:
    _LIBRARY.define(f"{name}({schema}")
    torch.library.register_fake(f"trainyard::{name}", fake, lib=_LIBRARY)
    return getattr(torch.ops.trainyard, name).default


_STAND_INS: dict[str, Any] = {
    "lstm": _stand_in(
        "lstm", f"Tensor input, Tensor[] hidden, {_SETTINGS}) -> (Tensor, Tensor, Tensor)", _lstm
    ),
    **{
        name: _stand_in(name, f"Tensor input, Tensor hidden, {_SETTINGS}) -> (Tensor, Tensor)", _simple)
        for name in ("gru", "rnn_tanh", "rnn_relu")
    },
}


@contextmanager
def whole_recurrent_kernels() -> Iterator[Callable[[ExportedProgram], ExportedProgram]]:
    """Inside it, `torch.export.export` keeps recurrent kernels whole.

    Yields:
        What makes the exported program call ATen's kernels.
    """
    keys = (DispatchKey.CompositeImplicitAutograd, DispatchKey.Autograd)
    before = {name: dict(kernel.py_kernels) for name, kernel in _KERNELS.items()}
    try:
        for name, kernel in _KERNELS.items():
            kernel.py_kernels.update(dict.fromkeys(keys, _STAND_INS[name]))
            kernel._dispatch_cache.clear()
        yield _with_kernels
    finally:
        for name, kernel in _KERNELS.items():
            kernel.py_kernels.clear()
            kernel.py_kernels.update(before[name])
            kernel._dispatch_cache.clear()


def _with_kernels(program: ExportedProgram) -> ExportedProgram:
    kernels = {_STAND_INS[name]: kernel for name, kernel in _KERNELS.items()}
    for node in program.graph.nodes:
        if node.target in kernels:
            node.target = kernels[node.target]
    program.graph_module.recompile()
    return program
