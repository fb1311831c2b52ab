"""Builds a configuration's task on the meta device and runs one batch of its data's schema through it."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from modules.configuration.errors import ConfigError, UserError
from modules.datamodules.ragged import begins_of, length_of
from modules.models.parts import parts
from modules.shapes.shape_failure import FAULTS, Failure, failure_in_constructor
from modules.shapes.symbols import BATCH, Sizes, probe_sizes
from modules.shapes.trace import Trace
from modules.tasks.build_task import build_task
from modules.tasks.step import check_steps
from modules.tasks.task import Task


def run(config: dict[str, Any], sizes: Sizes | None = None, shapes_only: bool = False) -> Trace:
    """Builds the task and runs loss and backward on one batch.

    Args:
        config: resolved.
        sizes: of the batch and of what differs from sample to sample; by default those of `probe_sizes`.
        shapes_only: leaves out the backward pass, and what is counted.

    Raises:
        Failure: some sizes do not agree.
        UserError: a target may not be built.
    """
    fields = config["data"]["fields"]
    sizes = probe_sizes(config) if sizes is None else sizes
    num_classes = {name: len(field["classes"]) for name, field in fields.items() if field.get("classes")}
    num_tokens = {name: field["vocabulary"]["size"] for name, field in fields.items() if _is_text(field)}
    with default_dtype(config):
        task = symbolic_task(config)
        _freeze(task, config)
        check_steps(task.model, task.steps())
        batch = symbolic_batch(config, sizes)
        try:
            trace = Trace(task, batch, num_classes | num_tokens, sizes, shapes_only).run()
        except KeyError as error:
            raise _missing_field(error, config["task"], fields) from error
    # What counts classes beside the loss, such as a metric, must agree with the data too.
    given = config["task"].get("num_classes")
    if given is not None and num_classes and given not in num_classes.values():
        (name, expected), *_ = num_classes.items()
        fault = f"num_classes is {given}, but {name} has {expected} classes"
        raise Failure(type(trace.task).__name__, message=fault, numbers={expected}, progress=trace.progress)
    return trace


def _missing_field(error: KeyError, task: dict[str, Any], fields: dict[str, Any]) -> Exception:
    """A task that reads a field which the data lack; the error itself where it is about something else."""
    (name,) = error.args
    key = next((key for key, value in task.items() if value == name), None)
    if name in fields or key is None:
        return error
    return ConfigError(
        f"task.{key}", f"the data have no field {name!r}", f"Set task.{key} to one of {', '.join(fields)}"
    )


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


def symbolic_task(config: dict[str, Any]) -> Task:
    """The task and its model on the meta device, in training mode.

    Raises:
        Failure: a constructor refuses its sizes.
        UserError: a target may not be built.
    """
    try:
        with torch.device("meta"), warnings.catch_warnings():
            # An empty layer is an error of its own.
            warnings.filterwarnings("ignore", message="Initializing zero-element tensors")
            return build_task(config["model"], config["task"]).train()
    except (UserError, *FAULTS) as error:
        # `build` says in a UserError what a constructor raised.
        cause = error.__cause__ if isinstance(error, UserError) else error
        if not isinstance(cause, FAULTS):
            raise
        raise failure_in_constructor(cause) from error


def _freeze(task: Task, config: dict[str, Any]) -> None:
    """Leaves to learn what learns at some time; where nothing does, which is a fault of its own, all.

    Raises:
        UserError: of several steps, one would never learn.
    """
    fine_tuning, found = config["fine_tuning"], parts(task.model)
    every_epochs, num_frozen = fine_tuning.get("unfreeze_every_epochs"), fine_tuning["frozen_parts"]
    if every_epochs is not None:
        num_frozen = max(0, num_frozen - (config["trainer"]["max_epochs"] - 1) // every_epochs)
    frozen, above = found[:num_frozen], found[num_frozen:]
    if not any(weight.requires_grad for part in above for weight in part.parameters()):
        return
    for part in frozen:
        part.requires_grad_(False)
    idle = [step.name for step in task.steps() if not step.learned]
    if frozen and idle:
        raise UserError(
            f"fine_tuning.frozen_parts={fine_tuning['frozen_parts']}: the step {idle[0]} would never learn",
            "Freeze fewer, or let them learn in time: fine_tuning.unfreeze_every_epochs",
        )


def _is_text(field: dict[str, Any]) -> bool:
    return field.get("vocabulary") is not None


def symbolic_batch(config: dict[str, Any], sizes: Sizes) -> dict[str, Tensor]:
    """A batch as training gets it, without data: the shards' fields, and what teachers say of each class."""
    fields, batch_size = config["data"]["fields"], sizes[BATCH]
    is_stream = config["trainer"].get("order", {}).get("kind") == "stream"
    batch: dict[str, Tensor] = {}
    for name, field in fields.items():
        symbols = [size for size in field["shape"] if isinstance(size, str)]
        shape = [sizes[size] if isinstance(size, str) else size for size in field["shape"]]
        batch[name] = torch.empty((batch_size, *shape), dtype=getattr(torch, field["dtype"]), device="meta")
        if symbols:
            lengths = (batch_size,) if len(symbols) == 1 else (batch_size, len(symbols))
            batch[length_of(name)] = torch.empty(lengths, dtype=torch.int64, device="meta")
        if symbols and is_stream:
            batch[begins_of(name)] = torch.empty((batch_size,), dtype=torch.bool, device="meta")
    if config["teacher"]:
        num_classes = sum(len(field.get("classes") or ()) for field in fields.values())
        batch["teacher"] = torch.empty((batch_size, num_classes), dtype=torch.float32, device="meta")
    return batch
