"""A ReNet layer: a recurrent network up and down every column of an image, then one along every row of that.

Visin et al. (2015), *ReNet*, arXiv 1505.00393, section 2: in the place of a convolution. After it each place
has seen the whole image: its column, and all rows of what the columns have seen.
"""

from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.recurrent_layer import BidirectionalLayer, CellName


class ReNetLayer(nn.Module):
    """Both directions down the columns, then both along the rows.

    Args:
        input_size: of each place of the grid.
        hidden_size: of the state of each direction.
        cell: `elman`, `lstm`, `gru` or a variant (see `modules.bricks.recurrent_layer`).
    """

    def __init__(self, input_size: int, hidden_size: int, cell: CellName = "gru") -> None:
        super().__init__()
        self.columns = BidirectionalLayer(cell, input_size, hidden_size)
        self.rows = BidirectionalLayer(cell, 2 * hidden_size, hidden_size)

    def forward(
        self, grid: Float[Tensor, "batch rows columns inputs"]
    ) -> Float[Tensor, "batch rows columns both"]:
        """The states of both directions along the rows, at every place."""
        batch, num_rows, num_columns, _ = grid.shape
        down = self.columns(grid.transpose(1, 2).flatten(0, 1)).unflatten(0, (batch, num_columns))
        return self.rows(down.transpose(1, 2).flatten(0, 1)).unflatten(0, (batch, num_rows))
