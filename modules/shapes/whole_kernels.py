"""torch's recurrent kernels on the meta device: two products over all steps, not two in every step.

There torch takes `torch.lstm` and the like apart, step by step, in Python. What has the same shapes,
gradients for the same tensors and as many multiply-adds is a product with the inputs of all steps and one
with the states of all steps.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import linear
from torch.overrides import TorchFunctionMode

_KERNELS = {torch.lstm: 2, torch.gru: 1, torch.rnn_tanh: 1, torch.rnn_relu: 1}
"""With the number of their states."""


class WholeKernels(TorchFunctionMode):
    """Stands in for one layer of one direction, batch first, as the yard's cells call them."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func in _KERNELS and not kwargs and _is_plain(args):
            return _stand_in(func, *args[:3])
        return func(*args, **(kwargs or {}))


def _is_plain(args: tuple[Any, ...]) -> bool:
    """Whether it is one layer with biases, batch first, of shapes that agree."""
    if len(args) != 9 or not args[0].is_meta or args[0].ndim != 3 or len(args[2]) != 4:
        return False
    inputs, states, (from_input, from_hidden, *_) = args[0], args[1], args[2]
    states = states if isinstance(states, tuple | list) else [states]
    return (
        args[3:5] == (True, 1)
        and args[7:] == (False, True)
        and inputs.shape[2] == from_input.shape[1]
        and all(state.shape == (1, len(inputs), from_hidden.shape[1]) for state in states)
    )


def _stand_in(func: Any, inputs: Tensor, states: Any, weights: list[Tensor]) -> tuple[Tensor, ...]:
    weight_input, weight_hidden, bias_input, bias_hidden = weights
    size = weight_hidden.shape[1]
    first = states[0] if _KERNELS[func] == 2 else states
    gates = linear(inputs, weight_input, bias_input)
    hidden = gates[..., :size].tanh() + first.transpose(0, 1)
    opened = linear(hidden, weight_hidden, bias_hidden).add_(gates).sigmoid_()
    outputs = opened.unflatten(-1, (-1, size)).sum(-2)
    last = outputs[:, -1][None]
    return (outputs, last, last + states[1]) if _KERNELS[func] == 2 else (outputs, last)
