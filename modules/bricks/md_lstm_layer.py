"""A multi-dimensional LSTM over a grid, from one corner or from all.

Graves, Fernandez & Schmidhuber (2007), *Multi-dimensional recurrent neural networks*, arXiv 0705.2011,
section 2.1: one network for each corner that a grid can be read from, 2 of a sequence, 4 of an image, 8 of a
volume.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.md_lstm_cell import MDLSTMCell
from modules.bricks.md_lstm_diagonals import over_grid


class MDLSTMLayer(nn.Module):
    """MDLSTM cells over a grid, one for each direction.

    Args:
        num_axes: of the grid: 1 for sequences, 2 for images, 3 for volumes.
        input_size: of each cell's input.
        hidden_size: of the state of each direction.
        num_directions: from how many corners the grid is read; None = from all.

    Raises:
        ValueError: if a grid of so many axes has not so many corners.
    """

    def __init__(
        self, num_axes: int, input_size: int, hidden_size: int, num_directions: int | None = None
    ) -> None:
        super().__init__()
        corners = 2**num_axes
        if num_directions is not None and not 1 <= num_directions <= corners:
            raise ValueError(
                f"num_directions={num_directions}, and a grid of {num_axes} axes has {corners} corners"
            )
        self.hidden_size = hidden_size
        self.cells = nn.ModuleList(
            MDLSTMCell(num_axes, input_size, hidden_size) for _ in range(num_directions or corners)
        )

    def forward(
        self, inputs: Float[Tensor, "batch *sizes inputs"]
    ) -> Float[Tensor, "batch *sizes directions hidden"]:
        """The state of every cell, in every direction."""
        weights = [
            torch.stack([getattr(cell, name) for cell in self.cells])
            for name in ("weight_input", "weight_hidden", "bias")
        ]
        return over_grid(inputs, *weights)
