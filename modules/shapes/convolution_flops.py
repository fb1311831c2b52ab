"""Arithmetic of a convolution's backward pass, in groups as well.

torch's own count takes all channels for one group: forty times too many for a depthwise net.
"""

from typing import Any

import torch
from torch.utils.flop_counter import conv_flop_count

CONVOLUTION_BACKWARD = torch.ops.aten.convolution_backward


def convolution_backward_flops(
    gradient_shape: list[int], input_shape: list[int], weight_shape: list[int], *others: Any, **outputs: Any
) -> int:
    """As many as forward for the gradient of the input, and again for that of the weights, where wanted.

    Args:
        gradient_shape: of the output.
        input_shape: of the convolution.
        weight_shape: of its filters, [out, in / groups, ...].
        others: of its arguments; the fifth says whether it is transposed, the last what is wanted.
        outputs: shapes of the results.
    """
    transposed, (for_input, for_weights, _) = others[4], others[7]
    return (for_input + for_weights) * conv_flop_count(input_shape, weight_shape, gradient_shape, transposed)
