"""Trained weights from a file that may come from anyone, into the model that a plan describes."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from modules.configuration.errors import UserError
from modules.registry.versions import PROGRAM, WEIGHTS
from modules.weights.state_dict import read_state_dict

_HINT = "Train the recipe again: python -m pipelines.train plan=..."


def load_weights(model: nn.Module, file: Path) -> None:
    """Fill the model with the weights of `file`, every one of them, by name and shape.

    Nothing in the file is run (`weights_only`).

    Raises:
        UserError: if the file is missing, damaged, holds more than tensors, fits another model or has weights
            that are not numbers.
    """
    _fill(model, read_state_dict(file, _HINT), file)


def load_version(model: nn.Module, folder: Path) -> None:
    """Fill the model with the weights of a registered version, given its fetched files.

    Raises:
        UserError: as `load_weights`.
    """
    _fill(model, version_weights(folder), folder / WEIGHTS)


def version_weights(folder: Path) -> Mapping[str, Tensor]:
    """The weights of a registered version by name, given its fetched files.

    Raises:
        UserError: a file is damaged or holds more than it should.
    """
    if (folder / WEIGHTS).is_file():
        return read_state_dict(folder / WEIGHTS, _HINT)
    # Versions were once registered without: a classifier's program holds all its weights.
    from modules.registry.export import load_program

    program, _ = load_program(folder / PROGRAM)
    return {name.removeprefix("model."): weight for name, weight in program.state_dict().items()}


def _fill(model: nn.Module, weights: Mapping[str, Tensor], file: Path) -> None:
    if difference := _difference(model.state_dict(), weights):
        raise UserError(f"{file} does not fit {type(model).__name__}: {difference}", _HINT)
    model.load_state_dict(weights)
    broken = [name for name, weight in weights.items() if not torch.isfinite(weight).all()]
    if broken:
        raise UserError(
            f"{file}: {broken[0]} holds NaN or infinity", "The training diverged: try a smaller lr."
        )


def _difference(expected: Mapping[str, Tensor], found: Mapping[str, Tensor]) -> str:
    """The first way in which two sets of weights differ, or nothing."""
    if missing := [name for name in expected if name not in found]:
        return f"{missing[0]} is missing" + (f" (and {len(missing) - 1} more)" if len(missing) > 1 else "")
    if unknown := [name for name in found if name not in expected]:
        return f"{unknown[0][:80]!r} is no weight of it"
    for name, weight in expected.items():
        if weight.shape != found[name].shape:
            return f"{name} is {list(found[name].shape)} in the file, {list(weight.shape)} in the model"
        # A training in another precision leaves its weights in that.
        floating = weight.is_floating_point() and found[name].is_floating_point()
        if weight.dtype != found[name].dtype and not floating:
            return f"{name} is {found[name].dtype} in the file, {weight.dtype} in the model"
    return ""
