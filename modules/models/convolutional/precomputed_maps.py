"""Maps that were computed before, in the place of the network that computed them; see
`modules.datamodules.formats.encoded`."""

from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor, nn

from modules.models.features import FeatureInfo


class PrecomputedMaps(nn.Module):
    """A backbone that has nothing to compute.

    Args:
        input_shape: (channels, rows, columns) of the maps.
        stride: pixels of the image from one cell to the next.
    """

    def __init__(self, input_shape: Sequence[int], stride: int) -> None:
        super().__init__()
        self.feature_info = [FeatureInfo("maps", int(input_shape[0]), stride)]

    def feature_maps(
        self, images: Float[Tensor, "batch channels rows columns"]
    ) -> dict[str, Float[Tensor, "batch channels rows columns"]]:
        """What it was given; see `modules.models.features`."""
        return {"maps": images}
