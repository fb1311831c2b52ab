"""Scene labelling by multi-dimensional LSTMs: a class for each pixel, from patches that know of all others.

Byeon, Breuel, Raue & Liwicki (2015), *Scene labeling with LSTM recurrent neural networks*, CVPR, section 2
and figure 1: patches, MDLSTM layers in four directions, a feed-forward layer after each. Deviates: logits are
given for every pixel of a patch, where the paper gives one label to all of it and enlarges.
"""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from modules.bricks.dense import DenseLayer
from modules.bricks.image_patches import check_patches, image_patches
from modules.bricks.layer_counts import check_as_many
from modules.bricks.md_lstm_layer import MDLSTMLayer


class MDLSTMSegmenter(nn.Module):
    """MDLSTM layers over the patches of an image, a dense layer at each patch after each.

    Args:
        input_shape: (channels, height, width) of an image.
        num_classes: of each pixel.
        patch_px: side of the patch that is a cell's input, in pixels.
        recurrent_sizes: state of each direction of each MDLSTM layer.
        hidden_sizes: neurons at each patch after each MDLSTM layer.

    Raises:
        ValueError: if layers differ in number, or patches do not cover an image exactly.
    """

    def __init__(
        self,
        input_shape: Sequence[int],
        num_classes: int,
        patch_px: int = 4,
        recurrent_sizes: Sequence[int] = (24, 48),
        hidden_sizes: Sequence[int] = (64, 128),
    ) -> None:
        super().__init__()
        check_as_many("layers", recurrent_sizes=recurrent_sizes, hidden_sizes=hidden_sizes)
        check_patches(input_shape, [patch_px])
        self.patch_px = patch_px
        values = input_shape[0] * patch_px * patch_px
        self.layers = nn.ModuleList()
        self.dense = nn.ModuleList()
        for states, hidden in zip(recurrent_sizes, hidden_sizes, strict=True):
            self.layers.append(MDLSTMLayer(2, values, states))
            self.dense.append(DenseLayer(4 * states, hidden, "tanh"))
            values = hidden
        self.output = DenseLayer(values, num_classes * patch_px * patch_px)

    def forward(
        self, images: Float[Tensor, "batch channels height width"]
    ) -> Float[Tensor, "batch num_classes height width"]:
        """Logits, one for each class and pixel, of images in 0..1."""
        grid = image_patches(images, self.patch_px)
        for layer, dense in zip(self.layers, self.dense, strict=True):
            grid = dense(layer(grid).flatten(3))
        return functional.pixel_shuffle(self.output(grid).movedim(-1, 1), self.patch_px)
