"""What a recipe will need, estimated before anything runs: memory by where it goes, arithmetic of a step.

A step is run on the meta device, where sizes and lifetimes of tensors are real and only the numbers are
missing; the optimizer's state is counted by letting it take a step there. Left out: workspaces inside single
operations, the data that wait in the loader, the program itself. Mixed precision is counted as float32.
"""

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from modules.configuration.errors import UserError
from modules.configuration.plans.training_cost import Cost
from modules.configuration.static_analysis.targets import build
from modules.shapes.calls import tensors
from modules.shapes.memory_estimate import working_bytes
from modules.shapes.shape_failure import FAULTS
from modules.shapes.symbolic import default_dtype, symbolic_batch
from modules.shapes.symbols import per_sample, typical_sizes
from modules.shapes.trace import Trace
from modules.tasks.step import Step, optimizer_nodes
from modules.tasks.task import Task

_PROBE_SIZE = 512


def estimate_cost(config: dict[str, Any], first: Trace, second: Trace) -> Cost:
    """The cost of a recipe, from what two symbolic batches took, of different size and
    otherwise of typical sizes."""
    parameters = list(first.task.parameters())
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    return Cost(
        num_parameters=sum(parameter.numel() for parameter in parameters),
        num_trainable=sum(parameter.numel() for parameter in trained),
        multiply_adds=per_sample(first.multiply_adds, second.multiply_adds),
        backward_multiply_adds=per_sample(first.backward_multiply_adds, second.backward_multiply_adds),
        activation_bytes=per_sample(first.saved_bytes, second.saved_bytes),
        weight_bytes=_num_bytes([*parameters, *first.task.buffers()]),
        optimizer_bytes=_optimizer_bytes(config["optimizer"], first.steps),
        working_bytes=_working_bytes(config, first.task),
        batch_size=config["trainer"]["batch_size"],
    )


def measure_multiply_adds_per_s() -> float:
    """Multiply-adds a second that this machine's CPU reaches on a product of two matrices."""
    one = torch.rand(_PROBE_SIZE, _PROBE_SIZE)
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        torch.mm(one, one)
        best = min(best, time.perf_counter() - start)
    return _PROBE_SIZE**3 / best


def _num_bytes(values: Sequence[Tensor]) -> int:
    return sum(value.numel() * value.element_size() for value in values)


def _working_bytes(config: dict[str, Any], task: Task) -> int:
    task.zero_grad(set_to_none=True)
    batch_size = config["trainer"]["batch_size"]
    try:
        with default_dtype(config):
            return working_bytes(task, symbolic_batch(config, typical_sizes(config, batch_size)))
    except FAULTS as error:  # other sizes have passed, so it is this one: batch normalisation of one sample
        message = " ".join(str(error).split())
        raise UserError(f"trainer.batch_size={batch_size} does not fit the network: {message}") from error


def _optimizer_bytes(optimizer: dict[str, Any], steps: Sequence[Step]) -> int | None:
    found = []
    for step, node in zip(steps, optimizer_nodes(steps, optimizer), strict=True):
        # Fused kernels exist only for real devices; they keep the same state.
        plain = {name: value for name, value in node.items() if name != "fused"}
        try:
            built = build(plain, params=step.learned)
            built.step()
        except (UserError, RuntimeError, NotImplementedError, TypeError):
            return None  # needs values (a line search, a closure)
        found += [tensor for state in built.state.values() for tensor in tensors(state)]
    return _num_bytes(found)
