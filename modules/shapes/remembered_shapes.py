"""Operations on the meta device, answered from memory: what they give depends on their inputs' sizes alone.

Most kernels of the meta device are Python (`torch._refs`), a third of a millisecond each; a recurrent net
runs the same ones in every time step, a deep one in every block. torch's own fake tensors remember likewise
(`torch._subclasses.fake_tensor`, "dispatch cache"), but import its compiler.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from modules.shapes.calls import tensors

_META = torch.device("meta")
_MOST = 200_000  # operations that are remembered
_ITSELF = object()
_known: dict[Any, Any] = {}  # of the whole process: no run has answers of its own


class RememberedShapes(TorchDispatchMode):
    """Runs an operation once for each combination of sizes, strides and types of its inputs.

    Remembered are new tensors, and that an operation in place gives its first input as it was. Views run
    always, and so does what takes no tensor, a tensor of another device, or a list of tensors.
    """

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        key = self._key(func, args, kwargs) if _may_be_remembered(func) else None
        known = None if key is None else _known.get(key)
        if known is not None:
            return args[0] if known is _ITSELF else _made(known)
        result = func(*args, **kwargs)
        if key is not None and len(_known) < _MOST:
            # An operation that changed its input's sizes (`resize_`) would have another key now.
            if result is not args[0]:
                known = None if _shares_memory((args, kwargs), result) else _layout(result)
            elif key == self._key(func, args, kwargs):
                known = _ITSELF
            if known is not None:
                _known[key] = known
        return result

    def _key(self, func: Any, args: tuple, kwargs: dict[str, Any]) -> Any:
        values, found = [func, torch.get_default_dtype()], False
        for value in (*args, *kwargs.items()):
            if isinstance(value, Tensor):
                if value.device != _META:
                    return None
                found = True
                values.append((value.shape, value.stride(), value.dtype))
            else:
                values.append(
                    (type(value), tuple(value)) if isinstance(value, list) else (type(value), value)
                )
        try:
            hash(key := tuple(values))
        except TypeError:
            return None
        return key if found else None


@cache
def _may_be_remembered(func: Any) -> bool:
    schema = func._schema
    in_place = schema.is_mutable and schema.name.endswith("_") and len(schema.returns) == 1
    return in_place or not (
        schema.is_mutable or any(value.alias_info is not None for value in schema.returns)
    )


def _shares_memory(given: Any, result: Any) -> bool:
    """Whether results are views all the same (`unsafe_split`, a copy that need not be made)."""
    made = [tensor.untyped_storage()._cdata for tensor in tensors(result)]
    before = {tensor.untyped_storage()._cdata for tensor in tensors(given)}
    return len(set(made)) < len(made) or not before.isdisjoint(made)


def _layout(result: Any) -> Any:
    """How to make such a result again; None where it is not of tensors alone."""
    if isinstance(result, Tensor):
        return (result.shape, result.stride(), result.dtype) if result.device == _META else None
    if isinstance(result, tuple | list) and result:
        each = [one if one is None else _layout(one) for one in result]
        if all(one is None or layout is not None for one, layout in zip(result, each, strict=True)):
            return [type(result), *each]
    return None


def _made(layout: Any) -> Any:
    if isinstance(layout, list):
        return layout[0](None if one is None else _made(one) for one in layout[1:])
    shape, stride, dtype = layout
    return torch.empty_strided(shape, stride, dtype=dtype, device=_META)
