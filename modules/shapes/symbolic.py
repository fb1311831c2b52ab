"""Builds a configuration's task on the meta device and runs one batch of its data's schema through it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from modules.configuration.errors import UserError
from modules.models.parts import parts
from modules.shapes.shape_failure import FAULTS, Failure, failure_in_constructor
from modules.shapes.symbols import BATCH_SIZES
from modules.shapes.trace import Trace
from modules.tasks.build_task import build_task


def run(config: dict[str, Any], batch_size: int = BATCH_SIZES[0]) -> Trace:
    """Builds the task and runs loss and backward on a batch of `batch_size`.

    Raises:
        Failure: some sizes do not agree.
        UserError: a target may not be built.
    """
    fields = config["data"]["fields"]
    num_classes = {name: len(field["classes"]) for name, field in fields.items() if field.get("classes")}
    with default_dtype(config):
        task = symbolic_task(config)
        _freeze(task.get_submodule("model"), config["fine_tuning"])
        trace = Trace(task, symbolic_batch(config, batch_size), num_classes).run()
    # What counts classes beside the loss, such as a metric, must agree with the data too.
    given = config["task"].get("num_classes")
    if given is not None and num_classes and given not in num_classes.values():
        (name, expected), *_ = num_classes.items()
        fault = f"num_classes is {given}, but {name} has {expected} classes"
        raise Failure(type(trace.task).__name__, message=fault, numbers={expected}, progress=trace.progress)
    return trace


@contextmanager
def default_dtype(config: dict[str, Any]) -> Iterator[None]:
    """Weights and inputs in the type that `...-true` asks for; under a mixed precision they stay float32."""
    precision = config["trainer"].get("precision", "32-true")
    usual = torch.get_default_dtype()
    torch.set_default_dtype({"64-true": torch.float64, "bf16-true": torch.bfloat16}.get(precision, usual))
    try:
        yield
    finally:
        torch.set_default_dtype(usual)


def symbolic_task(config: dict[str, Any]) -> nn.Module:
    """The task and its model on the meta device, in training mode.

    Raises:
        Failure: a constructor refuses its sizes.
        UserError: a target may not be built.
    """
    try:
        with torch.device("meta"):
            return build_task(config["model"], config["task"]).train()
    except (UserError, *FAULTS) as error:
        # `build` says in a UserError what a constructor raised.
        cause = error.__cause__ if isinstance(error, UserError) else error
        if not isinstance(cause, FAULTS):
            raise
        raise failure_in_constructor(cause) from error


def _freeze(model: nn.Module, fine_tuning: dict[str, Any]) -> None:
    """Leaves to learn what learns at some time; where nothing does, which is a fault of its own, all."""
    if fine_tuning.get("unfreeze_every_epochs") is not None:
        return
    found, num_frozen = parts(model), fine_tuning["frozen_parts"]
    frozen, above = found[:num_frozen], found[num_frozen:]
    if any(weight.requires_grad for part in above for weight in part.parameters()):
        for part in frozen:
            part.requires_grad_(False)


def symbolic_batch(config: dict[str, Any], batch_size: int) -> dict[str, Tensor]:
    """A batch as training gets it, without data: the shards' fields, and what teachers say of each class."""
    fields = config["data"]["fields"]
    batch = {
        name: torch.empty((batch_size, *field["shape"]), dtype=getattr(torch, field["dtype"]), device="meta")
        for name, field in fields.items()
    }
    if config["teacher"]:
        num_classes = sum(len(field.get("classes") or ()) for field in fields.values())
        batch["teacher"] = torch.empty((batch_size, num_classes), dtype=torch.float32, device="meta")
    return batch
