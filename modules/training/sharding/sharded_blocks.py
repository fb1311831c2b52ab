"""Which parts of a model are gathered one after another, so that no worker holds all weights at once.

A part may be a block where its weights are used in its own forward alone, and that runs once a step: what is
gathered for it is let go behind it. Whether that holds is seen in one evaluation of the loss. All other
weights are gathered for the whole of a step.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from modules.training.data_parallel import all_workers

MIN_BLOCK_SIZE = 2**14
"""Parameters below which a message of its own costs more than it saves."""
_CONTAINERS = (nn.Sequential, nn.ModuleList)


def blocks_of(model: nn.Module, evaluate: Callable[[], Any], min_size: int = MIN_BLOCK_SIZE) -> list[str]:
    """Names of the parts of a model that may be gathered one after another; the same in each worker.

    Args:
        model: whole.
        evaluate: computes the loss of a batch with it.
        min_size: parameters that a block has at least.
    """
    candidates = {name: model.get_submodule(name) for name in _candidates(model, min_size)}
    candidates = {name: part for name, part in candidates.items() if not _shares(part, model)}
    uses = _Uses(list(candidates.values()))
    uses.watch(evaluate)
    found = [name for name, fits in zip(candidates, uses.fit(), strict=True) if fits]
    # A batch of another worker may take another way.
    everywhere = set.intersection(*map(set, all_workers(found)))
    return [name for name in found if name in everywhere]


def _candidates(model: nn.Module, min_size: int) -> Iterator[str]:
    """Elements of lists and sequences of parts; of one that holds such a list itself, those of that."""
    taken: list[str] = []
    for name, module in model.named_modules():
        if not isinstance(module, _CONTAINERS) or any(f"{name}.".startswith(f"{one}.") for one in taken):
            continue
        for child_name, child in module.named_children():
            if not _holds_blocks(child, min_size) and _size(child) >= min_size:
                taken.append(f"{name}.{child_name}" if name else child_name)
                yield taken[-1]


def _holds_blocks(module: nn.Module, min_size: int) -> bool:
    """Whether somewhere in it is a list of parts that have parts themselves."""
    return any(
        _size(child) >= min_size and next(child.children(), None) is not None
        for part in module.modules()
        if isinstance(part, _CONTAINERS)
        for child in part.children()
    ) or isinstance(module, nn.ModuleList)  # which does not run itself


def _size(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _shares(part: nn.Module, model: nn.Module) -> bool:
    """Whether a parameter of it is one of a part outside as well."""
    inside = set(part.modules())
    own = {id(parameter) for parameter in part.parameters()}
    return any(
        id(parameter) in own
        for module in model.modules()
        if module not in inside
        for parameter in module.parameters(recurse=False)
    )


class _Uses(TorchFunctionMode):
    """Sees how often parts run, and whether their parameters are used while they do not."""

    def __init__(self, parts: list[nn.Module]) -> None:
        super().__init__()
        self._parts = parts
        self._owner = {id(one): number for number, part in enumerate(parts) for one in part.parameters()}
        self._running: Counter[int] = Counter()
        self._num_calls: Counter[int] = Counter()
        self._bypassed: set[int] = set()

    def watch(self, evaluate: Callable[[], Any]) -> None:
        handles = []
        for number, part in enumerate(self._parts):
            handles.append(part.register_forward_pre_hook(self._enter(number)))
            handles.append(part.register_forward_hook(self._leave(number), always_call=True))
        try:
            with self:
                evaluate()
        finally:
            for handle in handles:
                handle.remove()

    def fit(self) -> list[bool]:
        """Of each part, whether it runs once, and its parameters are used by nobody else."""
        numbers = range(len(self._parts))
        return [self._num_calls[number] == 1 and number not in self._bypassed for number in numbers]

    def _enter(self, number: int) -> Callable[..., None]:
        def enter(*_: Any) -> None:
            self._running[number] += 1
            self._num_calls[number] += 1

        return enter

    def _leave(self, number: int) -> Callable[..., None]:
        def leave(*_: Any) -> None:
            self._running[number] -= 1

        return leave

    def __torch_function__(self, func, types, args=(), kwargs=None):
        for tensor in _tensors((args, kwargs)):
            number = self._owner.get(id(tensor))
            if number is not None and not self._running[number]:
                self._bypassed.add(number)
        return func(*args, **(kwargs or {}))


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)
