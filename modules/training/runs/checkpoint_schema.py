"""What a checkpoint must hold for the training that goes on from it: checked before the first step is taken.

torch takes most of what does not fit without a word: a momentum of another shape is read beyond its end, a
learning rate of 1e30 or weights of NaN are trained on.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback
from torch import Tensor
from torch.optim import Optimizer

from modules.configuration.errors import UserError
from modules.training.sharding.whole_tensors import everywhere, local_of

_HINT = "Remove it to train from the beginning"
RESTORING = (RuntimeError, ValueError, KeyError, AttributeError, TypeError, IndexError, OverflowError)
"""What Lightning, torch and the callbacks raise where a state is not what they saved."""
_FREE = ("params", "lr")  # what the schedule sets before every step


class CheckpointError(UserError):
    """A checkpoint that cannot be gone on from."""


def does_not_fit(path: Path, error: Exception) -> CheckpointError:
    """The one line for a state that something could not be restored from."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:160]
    return CheckpointError(f"{path} does not fit this training ({reason})", _HINT)


def check_model(expected: Mapping[str, Tensor], found: Any) -> None:
    """Checks the weights of a checkpoint: names, shapes, kinds of numbers, and that all are finite.

    Args:
        expected: what is to be filled.
        found: what the checkpoint holds.

    Raises:
        CheckpointError: it does not fit.
    """
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise _misfit("its state_dict holds no weights by name")
    if missing := [name for name in expected if name not in found]:
        raise _misfit(f"{missing[0]} is missing")
    if unknown := [name for name in found if name not in expected]:
        raise _misfit(f"{str(unknown[0])[:80]!r} is no weight of this model")
    for name, weight in expected.items():
        if weight.shape != found[name].shape:
            raise _misfit(f"{name} is {list(found[name].shape)} there and {list(weight.shape)} here")
        # A training in another precision leaves its weights in that.
        floating = weight.is_floating_point() and found[name].is_floating_point()
        if weight.dtype != found[name].dtype and not floating:
            raise _misfit(f"{name} is {found[name].dtype} there and {weight.dtype} here")
        if not torch.isfinite(found[name]).all():
            raise _misfit(f"{name} holds NaN or infinity")


def check_states(callbacks: Sequence[Callback], num_optimizers: int, checkpoint: Mapping[str, Any]) -> None:
    """Checks that a checkpoint has a state of each callback and optimiser: Lightning passes over what lacks.

    Raises:
        CheckpointError: one is missing.
    """
    for callback in callbacks:
        has_state = type(callback).state_dict is not Callback.state_dict
        if has_state and not checkpoint["callbacks"].get(callback.state_key):
            raise _misfit(f"the state of {callback.state_key} is missing")
    if len(checkpoint["optimizer_states"]) != num_optimizers:
        raise _misfit(
            f"it has {len(checkpoint['optimizer_states'])} optimisers, and the task {num_optimizers}"
        )


def settings_of(optimizers: Sequence[Optimizer]) -> list[list[dict[str, Any]]]:
    """What each group of each optimiser was configured with, for `check_optimizers`."""
    return [
        [{key: value for key, value in group.items() if key not in _FREE} for group in optimizer.param_groups]
        for optimizer in optimizers
    ]


def check_optimizers(optimizers: Sequence[Optimizer], configured: list[list[dict[str, Any]]]) -> None:
    """Checks the restored optimisers against their parameters and the plan.

    Args:
        optimizers: as they were restored.
        configured: from `settings_of`, before they were.

    Raises:
        CheckpointError: a state is of another shape or not finite, or a setting is not the plan's.
    """
    for optimizer, groups in zip(optimizers, configured, strict=True):
        for group, given in zip(optimizer.param_groups, groups, strict=True):
            for key, value in given.items():
                if key in group and not _same(group[key], value):
                    raise _misfit(f"its optimiser has {key}={str(group[key])[:40]}, and the plan {value}")
        num_all = sum(one.numel() for group in optimizer.param_groups for one in group["params"])
        for parameter, state in optimizer.state.items():
            for name, tensor in _tensors(state):
                shape, own = tuple(tensor.shape), tuple(parameter.shape)
                # A factored moment has sizes of 1; L-BFGS keeps all parameters in a row.
                fits = len(shape) == len(own) and all(
                    size in (1, one) for size, one in zip(shape, own, strict=True)
                )
                if not fits and tensor.numel() != 1 and shape != (num_all,):
                    raise _misfit(f"its optimiser's {name} is {list(shape)}, and the weight {list(own)}")
                if not everywhere(bool(torch.isfinite(local_of(tensor)).all()), [tensor]):
                    raise _misfit(f"its optimiser's {name} holds NaN or infinity")


def _same(found: Any, given: Any) -> bool:
    if isinstance(given, list | tuple) and isinstance(found, list | tuple):
        return len(found) == len(given) and all(map(_same, found, given))
    if isinstance(given, Tensor) or isinstance(found, Tensor):
        return isinstance(given, Tensor) == isinstance(found, Tensor)
    if isinstance(given, float) and isinstance(found, int | float) and not isinstance(found, bool):
        return math.isclose(found, given, rel_tol=1e-6)
    return found == given


def _tensors(state: Any, name: str = "state") -> Iterator[tuple[str, Tensor]]:
    if isinstance(state, Tensor):
        yield name, state
    elif isinstance(state, dict):
        for key, value in state.items():
            yield from _tensors(value, str(key))
    elif isinstance(state, list | tuple):
        for value in state:
            yield from _tensors(value, name)


def _misfit(problem: str) -> CheckpointError:
    return CheckpointError(f"the checkpoint does not fit this training: {problem}", _HINT)
