"""ReNet: an image classifier of recurrent layers alone, no convolution and no pooling.

Visin et al. (2015), *ReNet*, arXiv 1505.00393, figure 1: ReNet layers, each on patches of what the one before
says, then dense layers. Deviates: fewer units.
"""

from collections.abc import Sequence
from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.dense import DenseLayer
from modules.bricks.image_patches import check_patches, grid_patches
from modules.bricks.layer_counts import check_as_many
from modules.bricks.recurrent_layer import CellName
from modules.bricks.renet_layer import ReNetLayer


class ReNet(nn.Module):
    """ReNet layers over the patches of an image, then dense layers.

    Args:
        input_shape: (channels, height, width) of an image.
        num_classes: number of outputs.
        recurrent_sizes: state of each direction of each ReNet layer.
        patch_sizes: side of the patches that each ReNet layer takes, in pixels, then in places of the layer
            before.
        hidden_sizes: neurons in each dense layer before the output.
        cell: `elman`, `lstm`, `gru` or a variant (see `modules.bricks.recurrent_layer`).
        activation: nonlinearity after each dense layer (see `modules.bricks.activation`).
        dropout: share of each ReNet layer's and dense layer's outputs set to zero in training.

    Raises:
        ValueError: if patches do not cover an image exactly, or there is not a size for each layer.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        recurrent_sizes: Sequence[int] = (32, 32),
        patch_sizes: Sequence[int] = (2, 2),
        hidden_sizes: Sequence[int] = (256,),
        cell: CellName = "gru",
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_as_many("layers", patch_sizes=patch_sizes, recurrent_sizes=recurrent_sizes)
        check_patches(input_shape, patch_sizes)
        self.patch_sizes = patch_sizes
        values, height, width = input_shape
        self.layers = nn.ModuleList()
        for states, side in zip(recurrent_sizes, patch_sizes, strict=True):
            self.layers.append(ReNetLayer(values * side * side, states, cell))
            values, height, width = 2 * states, height // side, width // side
        self.dropout = nn.Dropout(dropout)
        sizes = [values * height * width, *hidden_sizes]
        self.hidden = nn.Sequential(
            *(DenseLayer(inputs, outputs, activation, dropout) for inputs, outputs in pairwise(sizes))
        )
        self.output = DenseLayer(sizes[-1], num_classes)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch num_classes"]:
        """Logits, one for each class, of images in 0..1."""
        grid = images.movedim(1, -1)
        for layer, side in zip(self.layers, self.patch_sizes, strict=True):
            grid = self.dropout(layer(grid_patches(grid, side)))
        return self.output(self.hidden(grid.flatten(1)))
