"""The frames of clips through a backbone, a vector for each; padding frames cost nothing and count nowhere.

All frames that are no padding go through the backbone as one batch of images, so that batch normalisation
sees them alone. A frame's vector is a map of all cells of the backbone's last map, not of their mean: where
something lies in one frame is what tells, beside the next, which way it goes. Where changes are asked for,
each frame comes with what it differs by from the one before, in pixels or in its map: what moves stands out
from what does not. They stand in the place of optical flow in Venugopalan et al. (2015), arXiv 1505.00487,
section 3.3; those of maps leave a backbone that was trained on photographs the three channels it knows.
Maps are normalised (Ba, Kiros & Hinton 2016, arXiv 1607.06450).
"""

from collections.abc import Sequence
from typing import Literal

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
        changes: `pixels`: the backbone takes beside a frame's channels as many of its difference from the one
            before, of the first frame zeros; `maps`: a vector is made of the frame's map and its difference
            from that of the frame before; or `none`.
    """

    def __init__(
        self,
        input_shape: Sequence[int | str],
        backbone: Backbone,
        size: int,
        changes: Literal["none", "pixels", "maps"] = "none",
    ) -> None:
        super().__init__()
        info = backbone.feature_info[-1]
        height, width = (int(side) for side in input_shape[2:])
        cells = -(-height // info.stride) * -(-width // info.stride)
        self.backbone, self.changes = backbone, changes
        self.norm = nn.LayerNorm(info.num_channels)
        self.output = nn.Linear(info.num_channels * cells * (2 if changes == "maps" else 1), size)

    def forward(
        self, clips: Float[Tensor, "batch frames channels height width"], length: Int[Tensor, " batch"]
    ) -> Float[Tensor, "batch frames size"]:
        """Vectors of 0 or more, zeros in the padding.

        Args:
            clips: in 0..1, padded at their ends.
            length: frames of each, at least 1.
        """
        keep = kept(length, clips)
        if self.changes == "pixels":
            clips = _with_changes(clips, dim=2)
        if clips.is_meta or torch.compiler.is_exporting():  # where how many are kept cannot be known
            cells = self._cells(clips.flatten(0, 1)).unflatten(0, clips.shape[:2])
        else:
            found = self._cells(clips[keep])
            cells = found.new_zeros(*keep.shape, *found.shape[1:]).index_put((keep,), found)
        if self.changes == "maps":
            cells = _with_changes(cells, dim=2)
        return self.output(cells.flatten(2)).relu() * keep[..., None]

    def _cells(
        self, images: Float[Tensor, "images channels height width"]
    ) -> Float[Tensor, "images cells maps"]:
        *_, maps = self.backbone.feature_maps(images).values()
        return self.norm(maps.flatten(2).transpose(1, 2))


def _with_changes(frames: Float[Tensor, "batch frames ..."], dim: int) -> Float[Tensor, "batch frames ..."]:
    """Frames, and beside them along `dim` what each differs by from the one before."""
    return torch.cat([frames, frames.diff(dim=1, prepend=frames[:, :1])], dim=dim)
