"""A task whose weights, gradients and optimiser states are cut into shards, one for each worker.

Rajbhandari et al. 2020, *ZeRO: Memory optimizations toward training trillion parameter models*, stage 3
(arXiv 1910.02054); Zhao et al. 2023, *PyTorch FSDP* (arXiv 2304.11277), here in its second form,
`fully_shard`. What is sharded is the task, not its model: its loss is what gathers, so that a task may call
any part of its model. The weights of a block (`modules.training.sharding.sharded_blocks`) are gathered for
its own forward and backward pass, all others for the whole of a step.

A validation holds all weights whole: shares of a split may differ in batches, and generated sequences in
steps, and nobody would answer a worker that gathers once more.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, distributed
from torch.distributed import ReduceOp
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method

from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.metrics.mean import Mean
from modules.models.parts import parts
from modules.tasks.optional_methods import OwnState
from modules.tasks.step import Step, check_one_step
from modules.tasks.task import Task
from modules.training.data_parallel import rank
from modules.training.preparation import true_dtype
from modules.training.sharding.sharded_blocks import blocks_of
from modules.training.sharding.whole_tensors import whole_state

_WITHOUT = "Set runtime.sharding to none"


class ShardedTask:
    """Cuts a task into shards, in its place.

    Args:
        task: the same in each worker; whole.
        batch: raw fields, to see how the model runs.
        device: where the shards are, "cpu" or "cuda".
        dtype: of weights and floating inputs, where it is not float32.

    Attributes:
        task: whose parameters are shards from now on.
        blocks: names of the parts of the model that are gathered one after another.
        num_bytes: of the gradients that each worker gives to the others in a step.

    Raises:
        UserError: it cannot be cut.
    """

    def __init__(
        self, task: Task, batch: dict[str, Tensor], device: str, dtype: torch.dtype | None = None
    ) -> None:
        steps = task.steps()
        check_one_step(steps, "fsdp2")
        (step,) = steps
        _check_parameters(task)
        task.to(device)
        for tensor in task.state_dict().values():
            distributed.broadcast(tensor, src=0)
        self.task = task
        # What a task carries from batch to batch would have seen one more.
        self.blocks = (
            []
            if isinstance(task, OwnState)
            else blocks_of(task.model, _probe(task, step, batch, device, dtype))
        )
        mesh = init_device_mesh(device, (distributed.get_world_size(),))
        self._blocks = [task.model.get_submodule(name) for name in self.blocks]
        for block in self._blocks:
            block.register_forward_hook(lambda _, given, output: _without_views(output))
            fully_shard(block, mesh=mesh)
        fully_shard(task, mesh=mesh)
        assert isinstance(task, FSDPModule)
        self._root: FSDPModule = task
        # A worker may have no gradient of a parameter of which another has one.
        self._root.set_reduce_scatter_unused_params(True)
        task.sharded_loss = _evaluation(step)  # pyright: ignore[reportArgumentType]
        register_fsdp_forward_method(task, "sharded_loss")
        self._arrived: set[int] = set()
        self._device = device
        self._is_evaluating = self._has_run = False
        self._num_runs = [0] * len(self._blocks)
        self._listen()
        self.num_bytes = sum(one.numel() * one.element_size() for one in task.parameters())

    def steps(self) -> list[Step]:
        """The task's only step, on its shards."""
        (step,) = self.task.steps()
        return [replace(step, loss=self._loss)]

    def _loss(self, batch: dict[str, Tensor]) -> Mean:
        self._has_run = True
        self._is_evaluating, self._num_runs = True, [0] * len(self._blocks)
        try:
            total, count = self.task.sharded_loss(batch)  # pyright: ignore[reportCallIssue]
        finally:
            self._is_evaluating = False
        return Mean(total, count)

    def _listen(self) -> None:
        """Hears of each gradient before it is cut, and of each block that runs."""
        self.gather()
        for number, parameter in enumerate(self.task.parameters()):
            if parameter.requires_grad:
                parameter.register_post_accumulate_grad_hook(lambda _, own=number: self._arrived.add(own))
        self.let_go()
        for number, block in enumerate(self._blocks):
            block.register_forward_pre_hook(self._count(number))

    def _count(self, number: int) -> Callable[..., None]:
        def count(*_: Any) -> None:
            self._num_runs[number] += self._is_evaluating
            if self._num_runs[number] > 1:
                raise UserError(f"model.{self.blocks[number]} has run twice in one sharded step", _WITHOUT)

        return count

    def sum_up_parts(self, is_last: bool) -> None:
        """Before the backward pass of a part of a batch: but for the last, its gradients stay here."""
        self._root.set_requires_gradient_sync(is_last)

    def settle(self) -> None:
        """After a step's backward passes: takes away the gradients that no worker had."""
        parameters = list(self.task.parameters())
        arrived = torch.zeros(len(parameters), dtype=torch.uint8)
        arrived[list(self._arrived)] = 1
        self._arrived.clear()
        arrived = arrived.to(self._device)
        distributed.all_reduce(arrived, ReduceOp.MAX)
        for parameter, has_gradient in zip(parameters, arrived.tolist(), strict=True):
            if not has_gradient:
                parameter.grad = None

    def gather(self) -> None:
        """Makes the weights whole in each worker, until `let_go`."""
        for block in self._blocks:
            assert isinstance(block, FSDPModule)
            block.set_reshard_after_forward(False)
        for module in self._sharded_modules():
            module.unshard()

    def let_go(self) -> None:
        """Leaves each worker its shards."""
        if self._has_run:  # before, there is nothing to forget, and no place where it would lie
            self._root.reset_iter_state()
        for module in self._sharded_modules():
            module.reshard()
        for block in self._blocks:
            assert isinstance(block, FSDPModule)
            block.set_reshard_after_forward(True)

    def whole(self, build: Callable[[], Task]) -> Task:
        """The task with whole weights, in the first worker; in the others with their shards.

        Args:
            build: makes a task of the same names.
        """
        state = whole_state(self.task.state_dict())
        if rank() > 0:
            return self.task
        task = build()
        task.load_state_dict(state, assign=True)
        return task

    def _sharded_modules(self) -> list[FSDPModule]:
        """The root first: it makes itself known to the others."""
        return [module for module in self.task.modules() if isinstance(module, FSDPModule)]


def shard(task: Task, plan: Plan, batch: dict[str, Tensor]) -> ShardedTask:
    """Cuts the task of a plan into shards, in its place.

    Args:
        task: with the weights that the training begins from.
        plan: of the run.
        batch: that training takes first.

    Raises:
        UserError: it cannot be cut.
    """
    for part in parts(task.model)[: plan.fine_tuning.frozen_parts]:
        part.requires_grad_(False)  # what learns is settled where weights are first gathered
    dtype = true_dtype(plan.trainer.precision)
    device = "cuda" if distributed.get_backend() == "nccl" else "cpu"
    return ShardedTask(task, batch, device, dtype)


def _check_parameters(task: Task) -> None:
    """Refuses what cannot be cut."""
    types = {parameter.dtype for parameter in task.parameters() if parameter.is_floating_point()}
    if len(types) > 1:
        told = " and ".join(sorted(str(one).removeprefix("torch.") for one in types))
        raise UserError(f"runtime.sharding=fsdp2, and the weights are of several types, {told}", _WITHOUT)
    for name, parameter in task.named_parameters():
        if parameter.ndim == 0:
            raise UserError(f"runtime.sharding=fsdp2, and {name} is a number without an axis", _WITHOUT)


def _evaluation(step: Step) -> Callable[[dict[str, Tensor]], tuple[Tensor, int | Tensor]]:
    """The step's loss as a tuple, in which the tensor that the backward pass begins from is found."""

    def evaluate(batch: dict[str, Tensor]) -> tuple[Tensor, int | Tensor]:
        loss = step.loss(batch)
        return _without_views(loss.total), loss.count

    return evaluate


def _without_views(value: Any) -> Any:
    """An output whose tensors own their numbers: a view that is changed in its place loses the hook by which
    the backward pass gathers again."""
    if isinstance(value, Tensor):
        return value.clone() if value._is_view() else value
    if isinstance(value, dict):
        return {key: _without_views(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_without_views, value))
    return value


def _probe(
    task: Task, step: Step, batch: dict[str, Tensor], device: str, dtype: torch.dtype | None
) -> Callable[[], None]:
    """Evaluates the loss once and leaves no trace of it."""
    inputs = {name: values.to(device) for name, values in batch.items()}
    if dtype is not None:
        inputs = {name: one.to(dtype) if one.is_floating_point() else one for name, one in inputs.items()}

    def evaluate() -> None:
        buffers = [(buffer, buffer.clone()) for buffer in task.buffers()]
        usual = torch.get_default_dtype()
        torch.set_default_dtype(dtype or usual)
        try:
            with torch.no_grad(), torch.random.fork_rng():
                step.loss(inputs)
        finally:
            torch.set_default_dtype(usual)
        for buffer, value in buffers:
            buffer.copy_(value)

    return evaluate
