"""Where a network breaks, and in which sizes."""

import re
from dataclasses import dataclass, field
from math import prod

from torch import Tensor, nn

from modules.shapes.requirements import Requirement, required_input
from modules.shapes.symbols import BATCH, BATCH_SIZES, Shape, Sizes, shape_text, symbol_text

# What torch and bricks raise where sizes do not agree; anything else is a fault of code, with a traceback.
FAULTS = (RuntimeError, ValueError, IndexError, TypeError, ArithmeticError, AssertionError)


@dataclass(eq=False)
class Failure(Exception):
    """The first thing in the network that did not fit.

    Attributes:
        brick: class of the innermost module that was at work.
        path: where it stands in the task; empty while the network was being built.
        message: the fault in words.
        got: shape that arrived there.
        needs: what it would take, where that is known.
        layout: the module in words, sizes included.
        numbers: sizes that took part; one of them is often the one that would fit.
        progress: modules that had finished before.
        sizes: of the symbols of the data.
    """

    brick: str
    path: str = ""
    message: str = ""
    got: Shape | None = None
    needs: Requirement | None = None
    layout: str = ""
    numbers: set[int] = field(default_factory=set)
    progress: int = -1
    sizes: Sizes = field(default_factory=lambda: {BATCH: BATCH_SIZES[0]})

    def __str__(self) -> str:
        brick = f"{self.path} ({self.brick})" if self.path else self.brick
        got = shape_text(self.got, self.sizes) if self.got is not None else ""
        if got and self.needs:
            least = "at least " if self.needs.at_least else ""
            return f"{brick} gets {got} but takes {least}{shape_text(self.needs.shape, self.sizes)}"
        message = " ".join(self.message.split()).rstrip(".")
        return f"{brick} cannot take {got}: {message}" if got else f"{brick}: {message}".removeprefix(": ")


def failure_in_forward(
    module: nn.Module,
    path: str,
    error: Exception,
    got: Shape | None,
    operation: str,
    operands: list[Tensor],
    progress: int,
    sizes: Sizes,
) -> Failure:
    """What `module` could not do.

    Args:
        module: the innermost module that was running.
        path: where it stands in the task.
        error: what was raised.
        got: shape of the module's first input.
        operation: the operation that failed, empty where none did.
        operands: the tensors that met in it.
        progress: modules that had finished before.
        sizes: of the symbols of the data.
    """
    needs = required_input(module, got) if got else None
    shapes = [
        *(tuple(tensor.shape) for tensor in operands),
        *([got] if got else []),
        *([needs.shape] if needs else []),
    ]
    numbers = {size for shape in shapes for size in shape} | {
        prod(shape[1:]) for shape in shapes if shape[1:]
    }
    # Multiples of a symbol are no sizes of a layer.
    numbers = {number for number in numbers if number and all(number % size for size in sizes.values())}
    message = symbol_text(str(error), sizes)
    met = [
        shape_text(tuple(tensor.shape), sizes) for tensor in operands if not isinstance(tensor, nn.Parameter)
    ]
    if needs is None and len(met) > 1:
        got, message = None, f"{operation} does not fit {' and '.join(met)}"
    return Failure(type(module).__name__, path, message, got, needs, repr(module), numbers, progress, sizes)


def failure_in_constructor(error: BaseException) -> Failure:
    """What a constructor refused; its class is found in the traceback."""
    brick, frame = "", error.__traceback__
    while frame is not None:
        owner = frame.tb_frame.f_locals.get("self")
        if frame.tb_frame.f_code.co_name == "__init__" and isinstance(owner, nn.Module):
            brick = type(owner).__name__
        frame = frame.tb_next
    numbers = {int(number) for number in re.findall(r"\d+", str(error))} - {0}
    return Failure(brick, message=str(error), numbers=numbers)
