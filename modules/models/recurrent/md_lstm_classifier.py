"""An image classifier of multi-dimensional LSTMs: each place has been reached from all four corners.

Graves, Fernandez & Schmidhuber (2007), *Multi-dimensional recurrent neural networks*, arXiv 0705.2011,
section 2.1, and with layers on halved grids as in Graves & Schmidhuber (2008), *Offline handwriting
recognition with multidimensional recurrent neural networks*, NIPS, section 2.2: patches, an MDLSTM in all
directions, a feed-forward layer on patches of 2x2 of what they say. Deviates: what the last layer says is
averaged over its places.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from modules.bricks.dense import DenseLayer
from modules.bricks.image_patches import check_patches, grid_patches, image_patches
from modules.bricks.md_lstm_layer import MDLSTMLayer


class MDLSTMClassifier(nn.Module):
    """MDLSTM layers, a halving of the grid between each two, the mean over all places.

    Args:
        input_shape: (channels, height, width) of an image.
        num_classes: number of outputs.
        patch_px: side of the patch that is a cell's input, in pixels.
        recurrent_sizes: state of each direction of each MDLSTM layer.
        hidden_sizes: neurons of the feed-forward layer after each MDLSTM layer but the last.
        dropout: share of what the logits are made of set to zero in training.

    Raises:
        ValueError: if patches do not cover an image exactly, or their grid cannot be halved so often.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        patch_px: int = 2,
        recurrent_sizes: Sequence[int] = (16, 48),
        hidden_sizes: Sequence[int] = (32,),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if len(hidden_sizes) != len(recurrent_sizes) - 1:
            raise ValueError(
                f"hidden_sizes has {len(hidden_sizes)} layers, and {len(recurrent_sizes)} MDLSTM layers have"
                f" {len(recurrent_sizes) - 1} between them"
            )
        check_patches(input_shape, [patch_px, *[2] * len(hidden_sizes)])
        self.patch_px = patch_px
        inputs = [input_shape[0] * patch_px * patch_px, *hidden_sizes]
        self.layers = nn.ModuleList(
            MDLSTMLayer(2, size, states) for size, states in zip(inputs, recurrent_sizes, strict=True)
        )
        self.halvings = nn.ModuleList(
            DenseLayer(16 * states, size, "tanh")  # four directions, at the places of a block of 2x2
            for states, size in zip(recurrent_sizes, hidden_sizes, strict=False)
        )
        self.dropout = nn.Dropout(dropout)
        self.output = DenseLayer(4 * recurrent_sizes[-1], num_classes)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch num_classes"]:
        """Logits, one for each class, of images in 0..1."""
        grid = image_patches(images, self.patch_px)
        for number, layer in enumerate(self.layers):
            grid = layer(grid).flatten(3)
            if number < len(self.halvings):
                grid = self.halvings[number](grid_patches(grid, 2))
        return self.output(self.dropout(grid.mean((1, 2))))
