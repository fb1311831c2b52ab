"""The frames of clips through a backbone, a vector for each; padding frames cost nothing and count nowhere.

All frames that are no padding go through the backbone as one batch of images, so that batch normalisation
sees them alone. A frame's vector is a map of all cells of the backbone's last map, not of their mean: where
something lies in one frame is what tells, beside the next, which way it goes. Where changes are asked for,
each frame comes with what it differs by from the one before: what moves stands out from what does not. They
stand in the place of optical flow in Venugopalan et al. (2015), arXiv 1505.00487, section 3.3.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from modules.bricks.padding import kept
from modules.models.features import Backbone


class FrameFeatures(nn.Module):
    """From clips to a vector for each frame.

    Args:
        input_shape: (frames, channels, height, width) of a clip; the number of frames may be a name.
        backbone: gives the maps.
        size: numbers of a vector.
        changes: whether the backbone takes beside a frame's channels as many of its difference from the one
            before, of the first frame zeros.
    """

    def __init__(
        self, input_shape: Sequence[int | str], backbone: Backbone, size: int, changes: bool = False
    ) -> None:
        super().__init__()
        info = backbone.feature_info[-1]
        height, width = (int(side) for side in input_shape[2:])
        cells = -(-height // info.stride) * -(-width // info.stride)
        self.backbone, self.changes = backbone, changes
        self.output = nn.Linear(info.num_channels * cells, size)

    def forward(
        self, clips: Float[Tensor, "batch frames channels height width"], length: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch frames size"]:
        """Vectors of 0 or more, zeros in the padding.

        Args:
            clips: in 0..1, padded at their ends.
            length: frames of each, at least 1.
        """
        keep = kept(length, clips)
        if self.changes:
            clips = torch.cat([clips, clips.diff(dim=1, prepend=clips[:, :1])], dim=2)
        if clips.is_meta or torch.compiler.is_exporting():  # where how many are kept cannot be known
            found = self._vectors(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])
            return found * keep[..., None]
        found = self._vectors(clips[keep])
        return found.new_zeros(*keep.shape, found.shape[1]).index_put((keep,), found)

    def _vectors(self, images: Float[Tensor, "images channels height width"]) -> Float[Tensor, "images size"]:
        *_, maps = self.backbone.feature_maps(images).values()
        return self.output(maps.flatten(1)).relu()
