"""Networks of one shape as one program: parameters stacked on a leading axis, the task's loss under `vmap`.

The step (losses of all members and their gradients) is traced once into a flat list of tensor operations,
which run without the layers of `vmap` and autograd: for small networks these cost more than the arithmetic.
Numbers that differ between members (label smoothing, a temperature) are attributes of the task's modules; in
the trace each stands for the vector of all members' values.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, vmap
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from modules.sweeps.workers.stacking.dropout import MaskedDropout, Masks
from modules.tasks.task import Task

Batch = dict[str, Tensor]
Attribute = tuple[str, str]
"""A module's name within the task, and the name of an attribute of it."""


class Unstackable(Exception):
    """These trials cannot be one program, and why."""


class StackedProgram:
    """Losses and gradients of several tasks at once.

    The parameters of the tasks' models become slices of the stacked ones: what changes one changes the other.

    Args:
        tasks: alike but for numbers, in training mode.
        shared_batch: whether all members see one batch; else a batch has the leading axis `members`.
        gradient_clip_norm: longest allowed gradient of a member; None = as it comes.

    Raises:
        Unstackable: the tasks differ in more than numbers.
    """

    def __init__(self, tasks: Sequence[Task], shared_batch: bool, gradient_clip_norm: float | None) -> None:
        self._tasks = list(tasks)
        self._batch_axis = None if shared_batch else 0
        self._clip = gradient_clip_norm
        self._numbers = differing_numbers(self._tasks)
        self._thins: Sequence[bool] = ()
        self._traced: Any = None
        self._stack()

    @property
    def parameters(self) -> list[Tensor]:
        """Each parameter of the model for all members, [members, ...]."""
        return list(self._parameters.values())

    @property
    def has_convolutions(self) -> bool:
        """Whether the last step had any: grouped ones now, for which CPUs have slow kernels."""
        return any(node.target is torch.ops.aten.convolution.default for node in self._traced.graph.nodes)

    def step(self, batch: Batch, masks: Masks) -> tuple[Tensor, list[Tensor]]:
        """Losses [members] and gradients, each [members, ...] in the order of the parameters.

        Args:
            batch: fields of one step.
            masks: what the model's dropouts sample.
        """
        given = (self._parameters, self._numbers_now, masks.sample(), batch)
        if self._traced is None:
            axes = (0, 0, masks.axis, self._batch_axis)
            self._thins = masks.thins
            with warnings.catch_warnings():
                warnings.filterwarnings("error", message="There is a performance drop")
                traced = make_fx(lambda *inputs: self._losses_and_gradients(axes, *inputs))(*given)
            self._traced = without_idle_views(traced)
        with torch.no_grad():
            return self._traced(*given)

    def keep(self, members: Sequence[int]) -> None:
        """Cuts all other members out."""
        self._tasks = [self._tasks[member] for member in members]
        self._numbers = {place: [values[m] for m in members] for place, values in self._numbers.items()}
        self._stack()
        self._traced = None

    def _stack(self) -> None:
        models = [dict(task.model.named_parameters()) for task in self._tasks]
        self._parameters: dict[str, Tensor] = {}
        for name in models[0]:
            stacked = torch.stack([model[name].detach() for model in models])
            self._parameters[f"task.model.{name}"] = stacked
            for model, own in zip(models, stacked, strict=True):
                model[name].data = own
        self._numbers_now = [torch.tensor(values, dtype=torch.float32) for values in self._numbers.values()]

    def _losses_and_gradients(
        self, axes: tuple[Any, ...], parameters: Any, numbers: Any, masks: Any, batch: Any
    ) -> tuple[Tensor, list[Tensor]]:
        compute = vmap(grad_and_value(self._loss), in_dims=axes, randomness="error")
        gradients, losses = compute(parameters, numbers, masks, batch)
        gradients = [gradients[name] for name in parameters]
        if self._clip is not None:
            squares = [gradient.flatten(1).square().sum(1) for gradient in gradients]
            norms = torch.stack(squares).sum(0).sqrt()
            factors = (self._clip / (norms + 1e-6)).clamp(max=1.0)  # as torch.nn.utils.clip_grad_norm_ has it
            gradients = [g * factors.view(-1, *[1] * (g.ndim - 1)) for g in gradients]
        return losses, [gradient.contiguous() for gradient in gradients]

    def _loss(self, parameters: Any, numbers: Any, masks: Any, batch: Any) -> Tensor:
        task = self._tasks[0]
        with MaskedDropout(masks, self._thins), _Rewritten(), _numbers_in(task, list(self._numbers), numbers):
            return functional_call(_Loss(task), parameters, (batch,))


class _Loss(nn.Module):
    """`functional_call` calls a module's forward."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.task = task

    def forward(self, batch: Batch) -> Tensor:
        return self.task.loss(batch).quotient


class _Rewritten(TorchFunctionMode):
    """Functions of torch's that `vmap` makes slow, or that take a number where members need a tensor."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is functional.linear:
            return _linear(*args, **kwargs)
        if func is functional.cross_entropy:
            return _cross_entropy(*args, **kwargs)
        return func(*args, **kwargs)


def _linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    # The rule of addmm multiplies the bias by one, at each step.
    product = input @ weight.t()
    return product if bias is None else product + bias


def _cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float | Tensor = 0.0,
) -> Tensor:
    given = (input.ndim, target.ndim, weight, size_average, ignore_index, reduce)
    if given != (2, 1, None, None, -100, None) or reduction not in ("mean", "sum"):
        if isinstance(label_smoothing, Tensor):
            raise Unstackable("label smoothing differs, and the cross-entropy is not the plain one")
        return functional.cross_entropy(
            input, target, weight, size_average, ignore_index, reduce, reduction, label_smoothing
        )
    # A third of the operations of torch's; a label to be ignored is an index out of range here.
    logarithms = input.log_softmax(1)
    of_target = logarithms.gather(1, target.unsqueeze(1))
    exact = -(of_target.mean() if reduction == "mean" else of_target.sum())
    if not isinstance(label_smoothing, Tensor) and label_smoothing == 0:
        return exact
    smooth = logarithms.mean() if reduction == "mean" else logarithms.mean(1).sum()
    return exact * (1 - label_smoothing) - smooth * label_smoothing


def without_idle_views(module: GraphModule) -> GraphModule:
    """Takes out the views that change neither shape nor strides: half of what `vmap` leaves in a trace."""
    aten = torch.ops.aten
    views = {aten.view.default, aten._unsafe_view.default, aten.expand.default}
    for node in module.graph.nodes:
        if node.target is aten.transpose.int:
            inner = node.args[0]
            if inner.target is aten.transpose.int and _layout(inner.args[0]) == _layout(node):
                node.replace_all_uses_with(inner.args[0])
        elif node.target in views and _layout(node) == _layout(node.args[0]):
            node.replace_all_uses_with(node.args[0])
    module.graph.eliminate_dead_code()
    module.recompile()
    return module


def _layout(node: Node) -> tuple[Any, ...]:
    value = node.meta["val"]
    return tuple(value.shape), value.stride()


def differing_numbers(tasks: Sequence[Task]) -> dict[Attribute, list[float]]:
    """Attributes of the tasks' modules whose numbers differ, with the value of each task.

    Raises:
        Unstackable: something else differs.
    """
    found: dict[Attribute, list[float]] = {}
    for rows in zip(*(task.named_modules() for task in tasks), strict=True):
        names, modules = zip(*rows, strict=True)
        if len(set(names)) > 1 or len(set(map(type, modules))) > 1:
            raise Unstackable(f"{names[0]} differs between members")
        shapes = [[(name, p.shape) for name, p in m.named_parameters(recurse=False)] for m in modules]
        if any(shape != shapes[0] for shape in shapes):
            raise Unstackable(f"the parameters of {names[0]} differ in shape")
        for name, buffer in modules[0].named_buffers(recurse=False):
            if not all(torch.equal(module.get_buffer(name), buffer) for module in modules):
                raise Unstackable(f"the buffer {names[0]}.{name} differs")
        for attribute in vars(modules[0]).keys() - _OF_MODULES:
            values = [vars(module).get(attribute) for module in modules]
            if all(_same(value, values[0]) for value in values):
                continue
            if not all(type(value) in (int, float) for value in values) or float not in map(type, values):
                raise Unstackable(f"{names[0]}.{attribute} differs and is no number")
            if not (isinstance(modules[0], nn.Dropout) and attribute == "p"):  # masks carry it
                found[names[0], attribute] = values
    return found


_OF_MODULES = set(vars(nn.Module()))


def _same(value: Any, other: Any) -> bool:
    if type(value) is not type(other):
        return False
    if isinstance(value, list | tuple):
        return len(value) == len(other) and all(map(_same, value, other))
    if isinstance(value, dict):
        return value.keys() == other.keys() and all(_same(value[key], other[key]) for key in value)
    if isinstance(value, Tensor):
        return torch.equal(value, other)
    # Other objects have no equality; a number that they hide is found by the probe.
    return not isinstance(value, int | float | str) or value == other


@contextmanager
def _numbers_in(task: Task, places: Sequence[Attribute], numbers: Sequence[Tensor]) -> Iterator[None]:
    """Puts tensors where the task's modules hold numbers."""
    modules = [(task.get_submodule(name), attribute) for name, attribute in places]
    before = [getattr(module, attribute) for module, attribute in modules]
    try:
        for (module, attribute), number in zip(modules, numbers, strict=True):
            vars(module)[attribute] = number
        yield
    finally:
        for (module, attribute), number in zip(modules, before, strict=True):
            vars(module)[attribute] = number
