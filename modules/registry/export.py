"""A trained model as an exported program: one file that needs torch alone, not this repository.

The program holds what the task serves (`modules.tasks.served`) in evaluation mode, for a batch of any size
and any value of the other symbolic sizes (`torch.export`). Beside the graph and the weights the file carries
what a reader needs to use it: inputs and outputs with their kinds, shapes, names and vocabularies, and the
identity of the run (`extra/description.json`).
"""

import io
import json
import logging
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from modules.configuration.errors import UserError
from modules.registry.program_archive import read_vetted, vetted
from modules.registry.recurrent_export import whole_recurrent_kernels
from modules.tasks.served import Served, ServedInput, ServedOutput

DESCRIPTION = "description.json"
MAX_NUMBERS = 2**28
"""Of one sample; as floats a gigabyte."""


@dataclass(frozen=True)
class Description:
    """What an exported program takes and gives.

    Attributes:
        name: the recipe, which is the registered model's name.
        identity: identity of the run that trained it.
        inputs: what it takes, in order.
        outputs: what it gives, in order.
    """

    name: str
    identity: str
    inputs: tuple[ServedInput, ...]
    outputs: tuple[ServedOutput, ...]

    def __post_init__(self) -> None:
        if not all(isinstance(word, str) and word.isprintable() for word in (self.name, self.identity)):
            raise ValueError("a name or an identity is no printable text")
        if not self.inputs or not self.outputs:
            raise ValueError("it takes nothing or gives nothing")
        for one in (*self.inputs, *self.outputs):
            if math.prod(size for size in one.shape if isinstance(size, int)) > MAX_NUMBERS:
                raise ValueError(f"one sample of {one.name} would be more than {MAX_NUMBERS} numbers")

    def to_plain(self) -> dict[str, Any]:
        """Plain containers, for JSON."""
        return json.loads(json.dumps(asdict(self)))

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> "Description":
        """What `to_plain` gave; or what programs held before 0.3.0, one input in 0..1 and one row of outputs.

        Raises:
            ValueError: it is no description.
            KeyError: a key is missing.
            TypeError: a value is of another type.
        """
        if "inputs" in plain:
            inputs = tuple(ServedInput(**one | {"shape": tuple(one["shape"])}) for one in plain["inputs"])
            outputs = tuple(
                ServedOutput(**one | {"shape": tuple(one["shape"]), "classes": tuple(one["classes"])})
                for one in plain["outputs"]
            )
            return cls(plain["name"], plain["identity"], inputs, outputs)
        # Programs of classifiers once named `classes` alone.
        names = tuple(plain["outputs"] if "outputs" in plain else plain["classes"])
        shape, kind = tuple(plain["input_shape"]), plain.get("output_kind", "classes")
        output = ServedOutput("outputs", kind, (len(names),), names)
        return cls(plain["name"], plain["identity"], (pixels_or_numbers(shape),), (output,))


def pixels_or_numbers(shape: tuple[int, ...]) -> ServedInput:
    """The one input of programs before 0.3.0, of which the shape alone is known."""
    is_image = len(shape) == 3 and shape[0] in (1, 3, 4)
    return ServedInput("image" if is_image else "input", "image" if is_image else "vector", shape)


def export_program(served: Served, examples: Sequence[Tensor]) -> ExportedProgram:
    """Trace what a task serves for every value of its symbolic sizes.

    Args:
        served: of the task.
        examples: a tensor for each of its arguments, two or more samples of each: torch takes a size of one
            for one that never changes.

    Raises:
        UserError: if the architecture cannot be exported.
    """
    served.module.eval().requires_grad_(False)
    batch = Dim("batch", min=1)
    shapes: list[dict[int, Any]] = []
    for one in served.inputs:
        # Torch finds out by itself how small a size may be: a convolution takes no less than its kernel.
        sizes = {axis + 1: Dim.DYNAMIC for axis, size in enumerate(one.shape) if isinstance(size, str)}
        shapes += [{0: batch, **sizes}, *([{0: batch}] if one.symbols else [])]
    try:
        with torch.no_grad(), whole_recurrent_kernels() as finished:
            return finished(torch.export.export(served.module, tuple(examples), dynamic_shapes=tuple(shapes)))
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise UserError(
            f"the model cannot be exported: {reason}",
            "A forward that branches on values, or fixes a size, as by len(), has no exported form.",
        ) from error


def save_program(program: ExportedProgram, description: Description, file: Path) -> None:
    """Write program and description as one PT2 file, in one step.

    Raises:
        UserError: if the program holds more than ATen operators on tensors, so that no one could load it
        safely.
    """
    buffer = io.BytesIO()
    torch.export.save(program, buffer, extra_files={DESCRIPTION: json.dumps(description.to_plain())})
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
    extra = {DESCRIPTION: ""}
    logger = logging.getLogger("torch.export")
    level = logger.level
    # torch logs a traceback of its own before it raises; the user gets one line instead.
    logger.setLevel(logging.CRITICAL)
    try:
        module = torch.export.load(io.BytesIO(data), extra_files=extra).module()
        return module, Description.from_plain(json.loads(extra[DESCRIPTION] or "{}"))
    except Exception as error:
        reason = re.sub(r"\s+", " ", f"{type(error).__name__}: {error}")[:160]
        raise UserError(
            f"{file} cannot be loaded with torch {torch.__version__} ({reason})",
            "It is damaged, from another version of torch, or no program of this yard.",
        ) from error
    finally:
        logger.setLevel(level)
