"""From a clip to a sentence: a convolutional net looks at its frames, an LSTM writes what happens.

`mean`: Venugopalan, Xu, Donahue, Rohrbach, Mooney & Saenko (2014), *Translating videos to natural language
using deep recurrent neural networks*, arXiv 1412.4729, section 3.2: the mean of the frames' vectors. What
comes first and what later is lost: nothing tells left from right. With attention each word has a mean of its
own (Yao et al. 2015, *Describing videos by exploiting temporal structure*, arXiv 1502.08029, section 3.2).
`recurrent`: Venugopalan, Rohrbach, Donahue, Mooney, Darrell & Saenko (2015), *Sequence to sequence - video to
text*, arXiv 1505.00487, section 3.2: an LSTM reads the frames one after another before another writes.

The decoder is `modules.bricks.caption_decoder`. Deviates: without attention it reads the mean once, not at
each step; of the LSTM over frames it is given the states of all frames, where the paper hands the last one
on; it has one layer, not two.
"""

from collections.abc import Sequence
from typing import Literal

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from modules.bricks.caption_decoder import CaptionDecoder, Carried, Encoded
from modules.bricks.padding import kept
from modules.bricks.recurrent_layer import CellName, Directions, recurrent_layers, through_layers
from modules.models.features import Backbone
from modules.models.frame_features import FrameFeatures


class VideoCaptioner(nn.Module):
    """Writes what happens in a clip.

    Args:
        input_shape: (frames, channels, height, width) of a clip; the number of frames may be a name.
        backbone: gives the maps of a frame.
        vocab_size: tokens of the captions' vocabulary.
        encoder: the `mean` of the frames' vectors, weighted by attention where there is some; or `recurrent`
            layers over them.
        frame_size: numbers of a frame's vector.
        changes: whether what a frame differs by from the one before is seen as well, in `pixels` or `maps`;
            see `modules.models.frame_features`.
        encoder_size: of the state of each direction of the recurrent layers.
        num_layers: recurrent layers over the frames.
        cell: of them: `elman`, `lstm`, `gru` or a variant (see `modules.bricks.recurrent_layer`).
        directions: of them: `forwards`, or `both`.
        attention: how the decoder compares its state with a frame's; `none`: it is told their mean once.
        embedding_size: numbers that stand for a token.
        hidden_size: of the decoder's state.
        dropout: share of each recurrent layer's inputs, of the decoder's, and of what its logits are made of,
            set to zero in training.
    """

    def __init__(
        self,
        input_shape: Sequence[int | str],
        backbone: Backbone,
        vocab_size: int,
        encoder: Literal["mean", "recurrent"] = "recurrent",
        frame_size: int = 256,
        changes: Literal["none", "pixels", "maps"] = "none",
        encoder_size: int = 256,
        num_layers: int = 1,
        cell: CellName = "lstm",
        directions: Directions = "forwards",
        attention: Literal["none", "dot", "general", "additive"] = "additive",
        embedding_size: int = 128,
        hidden_size: int = 256,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.frames = FrameFeatures(input_shape, backbone, frame_size, changes)
        self.dropout = nn.Dropout(dropout)
        self.layers, place_size = None, frame_size
        if encoder == "recurrent":
            self.layers, place_size = recurrent_layers(cell, directions, frame_size, encoder_size, num_layers)
        self.decoder = CaptionDecoder(
            vocab_size, place_size, embedding_size, hidden_size, attention, dropout=dropout
        )

    def forward(
        self,
        clips: Float[Tensor, "batch frames channels height width"],
        length: Int[Tensor, " batch"],
        caption: Int[Tensor, "batch written"],
    ) -> Float[Tensor, "batch written vocab"]:
        """The logits of the token after each of the caption's.

        Args:
            clips: in 0..1, padded at their ends.
            length: frames of each, at least 1.
            caption: tokens before each step, the begin token first (teacher forcing).
        """
        return self.attended(clips, length, caption)[0]

    def attended(
        self,
        clips: Float[Tensor, "batch frames channels height width"],
        length: Int[Tensor, " batch"],
        caption: Int[Tensor, "batch written"],
    ) -> tuple[Float[Tensor, "batch written vocab"], Float[Tensor, "batch written frames"] | None]:
        """Logits as of `forward`, and how much was looked at each frame before each token."""
        return self.decoder(*self.places(clips, length), caption)

    def start(
        self, clips: Float[Tensor, "batch frames channels height width"], length: Int[Tensor, " batch"]
    ) -> tuple[Encoded, Carried]:
        """What the decoder begins with; see `step`."""
        return self.decoder.start(*self.places(clips, length))

    def step(
        self, token: Int[Tensor, " batch"], state: tuple[Encoded, Carried]
    ) -> tuple[Float[Tensor, "batch vocab"], tuple[Encoded, Carried]]:
        """The logits of the token after one, and the state after it; see `modules.generation.decoding`."""
        return self.decoder.step(token, state)

    def places(
        self, clips: Float[Tensor, "batch frames channels height width"], length: Int[Tensor, " batch"]
    ) -> tuple[Float[Tensor, "batch frames numbers"], Bool[Tensor, "batch frames"]]:
        """What the decoder is given of clips, and which of it counts."""
        features, keep = self.frames(clips, length), kept(length, clips)
        if self.layers is None:
            return self.dropout(features), keep
        return through_layers(self.layers, features, length, self.dropout), keep
