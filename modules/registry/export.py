"""A trained model as an exported program: one file that needs torch alone, not this repository.

The program holds what the task serves in evaluation mode for a batch of any size (`torch.export`): from
inputs in 0..1 to a row of outputs each, such as the probability of each class. Beside the graph and the
weights the file carries what a reader needs to use it: the sample's shape, the names of the outputs and the
identity of the run (`extra/description.json`).
"""

import io
import json
import logging
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from modules.configuration.errors import UserError
from modules.registry.program_archive import read_vetted, vetted

_DESCRIPTION = "description.json"
ServedAs = Literal["classes", "values"]


@dataclass(frozen=True)
class Description:
    """What an exported program takes and gives.

    Attributes:
        name: the recipe, which is the registered model's name.
        identity: identity of the run that trained it.
        input_shape: of one sample, float32 in 0..1; (channels, height, width) of an image.
        outputs: the name of each output.
        output_kind: "classes" where outputs are probabilities of classes of which one is right.
    """

    name: str
    identity: str
    input_shape: tuple[int, ...]
    outputs: tuple[str, ...]
    output_kind: ServedAs

    def __post_init__(self) -> None:
        words = (self.name, self.identity, *self.outputs)
        if not all(isinstance(word, str) and word.isprintable() for word in words):
            raise ValueError("a name, an identity or an output is no printable text")
        if (
            not self.outputs
            or self.output_kind not in get_args(ServedAs)
            or not self.input_shape
            or not all(type(n) is int and n > 0 for n in self.input_shape)
        ):
            raise ValueError("the input's shape or the list of outputs is empty or wrong")


def export_program(served: nn.Module, example: Tensor) -> ExportedProgram:
    """Trace what a task serves for a batch of any size.

    Args:
        served: from inputs to [batch, outputs].
        example: two or more samples; torch takes a batch of one for a fixed size.

    Raises:
        UserError: if the architecture cannot be exported.
    """
    served.eval().requires_grad_(False)
    try:
        with torch.no_grad():
            return torch.export.export(served, (example,), dynamic_shapes=({0: Dim("batch", min=1)},))
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"the model cannot be exported: {reason}",
            "A forward that branches on values or fixes the batch size has no exported form.",
        ) from error


def save_program(program: ExportedProgram, description: Description, file: Path) -> None:
    """Write program and description as one PT2 file, in one step.

    Raises:
        UserError: if the program holds more than ATen operators on tensors, so that no one could load it
        safely.
    """
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={_DESCRIPTION: json.dumps(asdict(description))})
    unfinished = file.with_name(f".{file.name}.part")
    unfinished.write_bytes(vetted(buffer.getvalue(), file.name))
    unfinished.replace(file)


def load_program(file: Path) -> tuple[nn.Module, Description]:
    """The module and the description in a PT2 file, without running anything the file might bring.

    Raises:
        UserError: if the file cannot be read, holds more than an exported program or was not written by this
        yard.
    """
    data = read_vetted(file)
    extra = {_DESCRIPTION: ""}
    logger = logging.getLogger("torch.export")
    level = logger.level
    # torch logs a traceback of its own before it raises; the user gets one line instead.
    logger.setLevel(logging.CRITICAL)
    try:
        module = torch.export.load(io.BytesIO(data), extra_files=extra).module()
        return module, _describe(json.loads(extra[_DESCRIPTION] or "{}"))
    except Exception as error:
        reason = re.sub(r"\s+", " ", f"{type(error).__name__}: {error}")[:160]
        raise UserError(
            f"{file} cannot be loaded with torch {torch.__version__} ({reason})",
            "It is damaged, from another version of torch, or no program of this yard.",
        ) from error
    finally:
        logger.setLevel(level)


def _describe(found: dict[str, Any]) -> Description:
    """The description in a file; programs of classifiers once named `classes` alone."""
    return Description(
        name=found["name"],
        identity=found["identity"],
        input_shape=tuple(found["input_shape"]),
        outputs=tuple(found["outputs"] if "outputs" in found else found["classes"]),
        output_kind=found.get("output_kind", "classes"),
    )
