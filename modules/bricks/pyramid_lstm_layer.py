"""A PyraMiD-LSTM layer: convolutional LSTMs through a volume in its six directions, one plane a step.

Stollenga, Byeon, Liwicki & Schmidhuber (2015), *Parallel multi-dimensional LSTM, with application to fast
biomedical volumetric image segmentation*, arXiv 1506.07452, section 3: what one of them has seen of a voxel's
surroundings is a pyramid with its tip at the voxel, and six pyramids fill the volume. Every voxel of a plane
is computed at once, where multi-dimensional LSTMs wait for the diagonal before.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from modules.bricks.conv_lstm_cell import ConvLSTMCell, new_state

AXES = (2, 3, 4)
"""Of a volume, [batch, channels, depth, height, width]."""


class PyramidLSTMLayer(nn.Module):
    """Six convolutional LSTMs, along each axis and back; the sum of their states at every voxel.

    Args:
        in_channels: of each voxel.
        hidden_channels: of the state of each direction.
        kernel_size: side of the filters in a plane, an odd number.

    Raises:
        ValueError: if the side of the filters is even.
    """

    def __init__(self, in_channels: int, hidden_channels: int, kernel_size: int = 7) -> None:
        super().__init__()
        self.onwards, self.back = (
            nn.ModuleList(ConvLSTMCell(in_channels, hidden_channels, kernel_size) for _ in AXES) for _ in "12"
        )

    def forward(
        self, volumes: Float[Tensor, "batch channels depth height width"]
    ) -> Float[Tensor, "batch hidden depth height width"]:
        """The summed states."""
        total: Tensor | None = None
        for axis, onwards, back in zip(AXES, self.onwards, self.back, strict=True):
            assert isinstance(onwards, ConvLSTMCell)
            assert isinstance(back, ConvLSTMCell)
            found = _both_ways(volumes.movedim(axis, 1), onwards, back).movedim(1, axis)
            total = found if total is None else total + found
        assert total is not None
        return total


def _both_ways(
    planes: Float[Tensor, "batch time channels height width"], onwards: ConvLSTMCell, back: ConvLSTMCell
) -> Float[Tensor, "batch time hidden height width"]:
    """The sum of both directions' h; a step of both is one convolution in two groups."""
    batch, num_steps, *_ = planes.shape
    size = onwards.hidden_channels
    cells = (onwards, back)
    from_inputs = functional.conv2d(
        planes.flatten(0, 1),
        torch.cat([cell.weight_input for cell in cells]),
        torch.cat([cell.bias for cell in cells]),
        padding=onwards.padding,
    ).unflatten(0, (batch, num_steps))
    first, second = from_inputs.split(4 * size, dim=2)
    gates = torch.cat([first, second.flip(1)], dim=2)
    weight = torch.cat([cell.weight_hidden for cell in cells])
    hidden = cell = planes.new_zeros(batch, 2 * size, *planes.shape[3:])
    outputs: list[Tensor] = []
    for step in gates.unbind(1):
        total = step + functional.conv2d(hidden, weight, padding=onwards.padding, groups=2)
        # Gates of both directions side by side, as `new_state` takes them.
        hidden, cell = new_state(total.unflatten(1, (2, 4, size)).transpose(1, 2).flatten(1, 3), cell)
        outputs.append(hidden)
    found = torch.stack(outputs, dim=1)
    return found[:, :, :size] + found[:, :, size:].flip(1)
