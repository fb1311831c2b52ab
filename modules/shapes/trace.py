"""One batch through model, loss and backward on the meta device: every shape is known, nothing is computed.

Hooks see each brick's inputs and outputs; a function mode follows which brick a tensor came from, so that the
graph of the network is what really ran (branches, residuals and concatenations included).
"""

from collections.abc import Iterable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from modules.metrics.mean import Mean
from modules.shapes.calls import Call, Node, is_brick, tensors
from modules.shapes.convolution_flops import CONVOLUTION_BACKWARD, convolution_backward_flops
from modules.shapes.remembered_shapes import RememberedShapes
from modules.shapes.shape_failure import FAULTS, Failure, failure_in_forward
from modules.shapes.symbols import Shape, Sizes
from modules.shapes.whole_kernels import WholeKernels
from modules.tasks.step import Step, gradients_of, turns
from modules.tasks.task import Task


class Trace(TorchFunctionMode):
    """Records one run of each of a task's steps: its loss and its backward pass.

    Multiply-adds are those of an optimiser step; where steps take turns, of the mean of them.

    Args:
        task: the task, built on the meta device.
        batch: fields of one batch on the meta device.
        num_classes: classes of each field that holds class numbers, tokens of one that holds text.
        sizes: of the symbols of the data.
        shapes_only: leaves out the backward pass, and what is counted.

    Attributes:
        calls: bricks by path, in the order in which they ran.
        edges: (from, to, index of the shape in the target's inputs or None) without repetition, in order.
        multiply_adds: of the forward pass.
        backward_multiply_adds: of the backward pass.
        progress: modules that have finished.
        saved_bytes: what the forward pass keeps for the backward pass, parameters and the batch itself apart.
    """

    def __init__(
        self,
        task: Task,
        batch: dict[str, Tensor],
        num_classes: dict[str, int],
        sizes: Sizes,
        shapes_only: bool = False,
    ) -> None:
        super().__init__()
        self._shapes_only = shapes_only
        self.task, self.batch, self.num_classes, self.sizes = task, batch, num_classes, sizes
        self.calls: dict[str, Call] = {}
        self.edges: dict[tuple[Node, Node], list[Shape]] = {}
        self.sinks: set[Node] = set()
        self.steps = task.steps()
        self.multiply_adds: float = 0
        self.backward_multiply_adds: float = 0
        self.saved_bytes = 0
        self._share: float = 1
        self._counter = FlopCounterMode(
            display=False, custom_mapping={CONVOLUTION_BACKWARD: convolution_backward_flops}
        )
        self._stack: list[tuple[str, nn.Module, list[Tensor]]] = []
        self._brick_depth: int | None = None
        self._started_at = 0
        self._feeds: list[tuple[Node, Shape]] = []
        self.progress = 0
        self._num_joins = 0
        self._failure: Failure | None = None
        # Tensors are kept alive, so that an id stays the name of one tensor.
        self._alive: list[Tensor] = []
        self._origin: dict[int, Node] = {}
        self._saved: dict[int, Any] = {}

    def run(self) -> "Trace":
        """Runs loss and backward.

        Raises:
            Failure: some sizes do not agree.
        """
        hooks = []
        for path, module in self.task.named_modules():
            if module is not self.task:
                hooks.append(module.register_forward_pre_hook(self._enter(path), with_kwargs=True))
                hooks.append(module.register_forward_hook(self._leave(path)))
        for name, tensor in self.batch.items():
            self._come_from(Node("field", name), tensor)
        try:
            counting = nullcontext() if self._shapes_only else self._counter
            with torch.device("meta"), WholeKernels(), RememberedShapes(), counting:
                for step in self.steps:
                    self._run(step)
        except Failure:
            raise
        except FAULTS as error:
            raise (self._failure or self._fault(error)) from error
        finally:
            for hook in hooks:
                hook.remove()
        return self

    def _run(self, step: Step) -> None:
        self._share = step.repeats / len(turns(self.steps)) if len(self.steps) > 1 else 1
        self._saved = {}
        if self._shapes_only:
            with self:
                self._finish(step, step.loss(self.batch))
            return
        before = self._flops()
        with self, torch.autograd.graph.saved_tensors_hooks(self._save, lambda tensor: tensor):
            loss = step.loss(self.batch)
        self.multiply_adds += self._share * (self._flops() - before)
        self.saved_bytes = max(self.saved_bytes, self._num_saved_bytes())
        before = self._flops()
        self._finish(step, loss)
        loss.quotient.backward(inputs=gradients_of(self.steps, step))
        self.backward_multiply_adds += self._share * (self._flops() - before)

    def _finish(self, step: Step, loss: Any) -> None:
        name = type(self.task).__name__
        if not isinstance(loss, Mean):
            message = (
                f"its loss is a {type(loss).__name__} where a sum and a count are expected: Mean.of(...)"
            )
            raise Failure(name, message=message)
        if loss.total.shape != ():
            shape = tuple(loss.total.shape)
            raise Failure(name, message=f"its loss is {shape} where one number is expected")
        if (sink := self._origin.get(id(loss.total))) is not None:
            self.sinks.add(sink)

    def _flops(self) -> int:
        if self._shapes_only:
            return 0
        return self._counter.get_total_flops() // 2

    def _num_saved_bytes(self) -> int:
        kept = [*self.task.parameters(), *self.task.buffers(), *self.batch.values()]
        apart = {tensor.untyped_storage()._cdata for tensor in kept}
        return sum(storage.nbytes() for key, storage in self._saved.items() if key not in apart)

    def _save(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        self._saved[storage._cdata] = storage
        return tensor

    def _come_from(self, node: Node, value: Any) -> None:
        for tensor in tensors(value):
            self._alive.append(tensor)
            self._origin[id(tensor)] = node

    def _sources(self, value: Any) -> list[tuple[Node, Shape]]:
        known = [
            (self._origin[id(tensor)], tensor) for tensor in tensors(value) if id(tensor) in self._origin
        ]
        return [(node, tuple(tensor.shape)) for node, tensor in known]

    def _link(self, sources: Iterable[tuple[Node, Shape]], target: Node) -> None:
        for source, shape in sources:
            shapes = self.edges.setdefault((source, target), [])
            if shape not in shapes:
                shapes.append(shape)

    def _enter(self, path: str):
        def enter(module: nn.Module, args: tuple, kwargs: dict) -> None:
            given = list(tensors((args, kwargs)))
            self._stack.append((path, module, given))
            if self._brick_depth is None and is_brick(module):
                self._brick_depth = len(self._stack)
                self._started_at = self._flops()
                self._feeds = self._sources(given)

        return enter

    def _leave(self, path: str):
        def leave(module: nn.Module, args: tuple, output: Any) -> Any:
            _, _, given = self._stack.pop()
            self.progress += 1
            if self._brick_depth != len(self._stack) + 1:
                return output
            self._brick_depth = None
            if isinstance(output, Tensor) and any(output is tensor for tensor in given):
                output = output.view_as(output)  # so that it can be told from the input
            inputs, outputs = ([tuple(t.shape) for t in values] for values in (given, tensors(output)))
            call = Call(path, type(module).__name__, module, inputs, outputs, num_calls=0)
            call = self.calls.setdefault(path, call)
            call.num_calls += 1
            call.multiply_adds += self._share * (self._flops() - self._started_at)
            node = Node("brick", call.brick, path)
            self._link(self._feeds, node)
            self._come_from(node, output)
            return output

        return leave

    def __torch_function__(self, func, types, args=(), kwargs=None):
        name = getattr(func, "__name__", str(func))
        kwargs = kwargs or {}
        if name == "embedding" and not kwargs.keys() & {"input", "weight"}:
            self._check_tokens(*args[:2])
        if name in ("cross_entropy", "nll_loss"):
            self._check_classes(*args[:2], **{k: v for k, v in kwargs.items() if k in ("input", "target")})
        try:
            result = func(*args, **kwargs)
        except FAULTS as error:
            self._failure = self._failure or self._fault(error, name.strip("_"), (args, kwargs))
            raise
        if self._brick_depth is None:
            self._follow(name, (args, kwargs), result)
        return result

    def _follow(self, name: str, given: Any, result: Any) -> None:
        sources = self._sources(given)
        nodes = {node for node, _ in sources}
        if len(nodes) == 1:
            self._come_from(sources[0][0], result)
        elif nodes and next(tensors(result), None) is not None:
            self._num_joins += 1
            join = Node("join", name.strip("_"), str(self._num_joins))
            self._link(sources, join)
            self._come_from(join, result)

    def _check_classes(self, input: Tensor, target: Tensor) -> None:
        label = self._origin.get(id(target))
        expected = self.num_classes.get(label.name) if label and label.kind == "field" else None
        if expected is None or target.is_floating_point() or input.ndim < 2 or input.shape[1] == expected:
            return
        source = self._origin.get(id(input))
        raise Failure(
            source.name if source else type(self.task).__name__,
            source.path if source else "",
            f"gives {input.shape[1]} logits, but {label.name} has {expected} classes" if label else "",
            layout=repr(self.calls[source.path].module) if source and source.path in self.calls else "",
            numbers={expected},
            progress=self.progress,
        )

    def _check_tokens(self, tokens: Tensor, weight: Tensor) -> None:
        text = self._origin.get(id(tokens))
        expected = self.num_classes.get(text.name) if text and text.kind == "field" else None
        if expected is None or text is None or weight.shape[0] == expected:
            return
        path, module, _ = self._stack[-1] if self._stack else ("", self.task, [])
        raise Failure(
            type(module).__name__,
            path,
            f"has {weight.shape[0]} rows, but {text.name} has {expected} tokens",
            layout=repr(module),
            numbers={expected},
            progress=self.progress,
        )

    def _fault(self, error: Exception, operation: str = "", operands: Any = ()) -> Failure:
        path, module, given = self._stack[-1] if self._stack else ("", self.task, [])
        got = tuple(given[0].shape) if given else None
        operands = list(tensors(operands))
        return failure_in_forward(module, path, error, got, operation, operands, self.progress, self.sizes)
