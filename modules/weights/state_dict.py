"""A file of weights by name, which may come from anyone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from modules.configuration.errors import UserError
from modules.weights.fitting import Weights


def read_state_dict(file: Path, hint: str) -> Weights:
    """The tensors in a file by their names, on the CPU. Nothing in it is run (`weights_only`).

    Args:
        file: as `torch.save` writes it.
        hint: what to do if it can't be read.

    Raises:
        UserError: it is missing, damaged, or holds more than tensors.
    """
    try:
        found: Any = torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise UserError(f"{file} is not there", hint) from None
    except Exception as error:
        raise UserError(
            f"{file} is damaged or holds more than weights; nothing of it was run", hint
        ) from error
    if not isinstance(found, Mapping) or not all(
        isinstance(name, str) and isinstance(weight, Tensor) for name, weight in found.items()
    ):
        raise UserError(f"{file} holds no weights by name", hint)
    return found
