"""Lines of writing read by multi-dimensional LSTMs in four directions: a label or a blank for each column.

Graves & Schmidhuber (2008), *Offline handwriting recognition with multidimensional recurrent neural
networks*, NIPS, section 2: patches, an MDLSTM in all directions, a feed-forward layer on larger patches of
what they say, and so on; in the end columns are summed over their height, and trained by connectionist
temporal classification. Deviates: the mean in the place of the sum.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from modules.bricks.dense import DenseLayer
from modules.bricks.image_patches import check_patches, grid_patches, image_patches
from modules.bricks.md_lstm_layer import MDLSTMLayer


class MDLSTMTranscriber(nn.Module):
    """Two MDLSTM layers with a halving of the grid between them, the mean over a column, a layer of labels.

    Args:
        input_shape: (channels, height, width) of an image.
        num_labels: labels, the blank included.
        patch_px: side of the patch that is a cell's input, in pixels.
        recurrent_sizes: state of each direction of the two MDLSTM layers.
        hidden_size: neurons of the feed-forward layer between them.
        dropout: share of what the logits are made of set to zero in training.

    Raises:
        ValueError: if patches do not cover an image exactly, or their grid cannot be halved.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_labels: int,
        patch_px: int = 4,
        recurrent_sizes: Sequence[int] = (16, 48),
        hidden_size: int = 48,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        check_patches(input_shape, [patch_px, 2])
        self.patch_px = patch_px
        first, second = recurrent_sizes
        self.fine = MDLSTMLayer(2, input_shape[0] * patch_px * patch_px, first)
        self.halving = DenseLayer(16 * first, hidden_size, "tanh")  # four directions, blocks of 2x2 places
        self.coarse = MDLSTMLayer(2, hidden_size, second)
        self.dropout = nn.Dropout(dropout)
        self.output = DenseLayer(4 * second, num_labels)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> tuple[Float[Tensor, "batch frames labels"], Int[Tensor, " batch"]]:
        """Logits of each frame, from left to right, and how many frames each image has.

        Args:
            images: in 0..1.
        """
        grid = self.fine(image_patches(images, self.patch_px)).flatten(3)
        grid = self.coarse(self.halving(grid_patches(grid, 2))).flatten(3)
        columns = self.dropout(grid.mean(dim=1))
        frames = torch.full_like(columns[:, 0, 0], columns.shape[1], dtype=torch.int64)
        return self.output(columns), frames
