"""A label for each frame of a clip: a convolutional net looks at frames, recurrent layers at their order.

Graves & Schmidhuber (2005), *Framewise phoneme classification with bidirectional LSTM*, Neural Networks 18,
for sound; Donahue et al. (2014), *Long-term recurrent convolutional networks*, arXiv 1411.4389, section 4,
for clips: frames through a net, an LSTM over them. Deviates: both directions; a label that may change from
frame to frame, not one for the whole clip. Without recurrent layers each frame is labelled by itself alone.
"""

from collections.abc import Sequence
from typing import Literal

from jaxtyping import Float, Int
from torch import Tensor, nn

from modules.bricks.recurrent_layer import CellName, Directions, recurrent_layers, through_layers
from modules.models.features import Backbone
from modules.models.frame_features import FrameFeatures


class FrameLabeller(nn.Module):
    """Frames' vectors, recurrent layers, one logit for each label at each frame.

    Args:
        input_shape: (frames, channels, height, width) of a clip; the number of frames may be a name.
        backbone: gives the maps of a frame.
        num_labels: labels to choose from.
        frame_size: numbers of a frame's vector.
        changes: whether what a frame differs by from the one before is seen as well, in `pixels` or `maps`;
            see `modules.models.frame_features`.
        hidden_size: of the state of each direction of each layer.
        num_layers: recurrent layers; 0 = each frame is labelled by itself.
        cell: `elman`, `lstm`, `gru` or a variant (see `modules.bricks.recurrent_layer`).
        directions: `both`, or `forwards` alone.
        dropout: share of each layer's inputs, and of what the logits are made of, set to zero in training.
    """

    def __init__(
        self,
        input_shape: Sequence[int | str],
        backbone: Backbone,
        num_labels: int,
        frame_size: int = 256,
        changes: Literal["none", "pixels", "maps"] = "none",
        hidden_size: int = 128,
        num_layers: int = 1,
        cell: CellName = "lstm",
        directions: Directions = "both",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.frames = FrameFeatures(input_shape, backbone, frame_size, changes)
        self.layers, width = nn.ModuleList(), frame_size
        if num_layers:
            self.layers, width = recurrent_layers(cell, directions, frame_size, hidden_size, num_layers)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, num_labels)

    def forward(
        self, clips: Float[Tensor, "batch frames channels height width"], length: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch frames labels"]:
        """Logits, one for each label and frame; what lies in the padding means nothing.

        Args:
            clips: in 0..1, padded at their ends.
            length: frames of each, at least 1.
        """
        features = through_layers(self.layers, self.frames(clips, length), length, self.dropout)
        return self.output(self.dropout(features))
