"""Weights that a model begins from: whatever fits by name and shape is kept, the rest stays as it was
initialised.

A new head on a trained body (Donahue et al. 2014, arXiv 1310.1531) is such a model: all names agree, and the
head's shapes do not.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

from torch import nn

from modules.configuration.errors import UserError
from modules.weights.fitting import Fit, Weights, compare, some
from modules.weights.state_dict import read_state_dict

_HINT = "Train what it begins from first, or name a state dict: weights.pt"


@runtime_checkable
class Reader(Protocol):
    """What `fine_tuning.adapter` may be instead of a callable: it reads a file of another format itself."""

    def read(self, file: Path) -> Weights: ...


Translation = Callable[[Weights], Weights] | Reader


def begin_from(
    model: nn.Module, file: Path, adapter: Translation | None = None, reinit: Sequence[str] = ()
) -> Fit:
    """Fills a model with what fits of the weights in a file.

    Args:
        model: gets them.
        file: a state dict; of another format where `adapter` reads it.
        adapter: gives weights by this model's names: of those found, or of the file.
        reinit: beginnings of names that nothing is taken over for.

    Raises:
        UserError: the file is missing, damaged or holds more than tensors, nothing fits, or a weight is not a
            number.
    """
    found = read_weights(file, adapter)
    fit = compare(model, found, reinit)
    if not fit.kept:
        raise nothing_fits(model, file, found)
    if broken := [name for name in fit.kept if not found[name].isfinite().all()]:
        raise UserError(f"{file}: {broken[0]} holds NaN or infinity", "Begin from other weights")
    model.load_state_dict({name: found[name] for name in fit.kept}, strict=False)
    return fit


def read_weights(file: Path, adapter: Translation | None = None) -> Weights:
    """The weights in a file, by the names of the model that they are for.

    Raises:
        UserError: the file is missing, damaged or holds more than tensors.
    """
    if isinstance(adapter, Reader):
        return adapter.read(file)
    found = read_state_dict(file, _HINT)
    return adapter(found) if adapter else found


def nothing_fits(model: nn.Module, file: Path, found: Weights) -> UserError:
    """The one line for weights of which a model can keep none."""
    return UserError(
        f"nothing in {file} fits {type(model).__name__}: {_why_nothing(model, found)}",
        "Begin from a model of this architecture, or translate its weights: fine_tuning.adapter",
    )


def _why_nothing(model: nn.Module, found: Weights) -> str:
    own = model.state_dict()
    for name, weight in own.items():
        if name in found and found[name].shape != weight.shape:
            return f"{name} is {list(found[name].shape)} there and {list(weight.shape)} here"
    if any(name in found for name in own):
        return "fine_tuning.reinit initialises all of it again"
    return f"it has {some(list(found), 2)}, and the model {some(list(own), 2)}"
