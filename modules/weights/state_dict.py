"""A file of weights by name, which may come from anyone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from modules.configuration.errors import UserError
from modules.weights.fitting import Weights
from modules.weights.tensor_file import load_tensors, strange_tensor


def read_state_dict(file: Path, hint: str) -> Weights:
    """The tensors in a file by their names, on the CPU. Nothing in it is run (`weights_only`).

    Args:
        file: as `torch.save` writes it.
        hint: what to do if it can't be read.

    Raises:
        UserError: it is missing, damaged, or holds more than tensors.
    """
    try:
        found: Any = load_tensors(file, links=True)
    except FileNotFoundError:
        raise UserError(f"{file} is not there", hint) from None
    except UserError as error:
        raise UserError(error.problem, hint) from None
    except Exception as error:
        raise UserError(
            f"{file} is damaged or holds more than weights; nothing of it was run", hint
        ) from error
    if not isinstance(found, Mapping) or not all(
        isinstance(name, str) and isinstance(weight, Tensor) for name, weight in found.items()
    ):
        raise UserError(f"{file} holds no weights by name", hint)
    for name, weight in found.items():
        if strange := strange_tensor(weight):
            raise UserError(f"{file}: {name[:80]} is a {strange}, not an ordinary one", hint)
    return found
