"""What filters see: the parts of images that excite them most, for some filters of each of a backbone's maps.

Zeiler & Fergus (2014), *Visualizing and understanding convolutional networks*, arXiv 1311.2901, section 4 and
figure 2, as patches of the images themselves. A patch is what the filter looks at there: the box around the
pixels whose gradient is above a tenth of the largest (effective receptive field, Luo et al. 2016, arXiv
1701.04128).
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import numpy
import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.evaluation.exhibits import Exhibit, ImageStrips, Strip
from modules.evaluation.findings import Findings
from modules.evaluation.image_tiles import pixels
from modules.models.features import Backbone

_PATCH_PX = 64
_LEAST_SHARE = 0.1


class FilterPatchesEvaluator:
    """Runs a backbone over images of the test split; it measures nothing.

    Args:
        num_filters: of each map, those that differ most from image to image.
        num_patches: of each filter, from different images.
        num_images: the first ones of the split.
        batch_size: images at a time.
    """

    metrics: ClassVar[dict[str, Literal["max", "min"]]] = {}

    def __init__(
        self, num_filters: int = 6, num_patches: int = 9, num_images: int = 2000, batch_size: int = 100
    ) -> None:
        self.num_filters = num_filters
        self.num_patches = num_patches
        self.num_images = num_images
        self.batch_size = batch_size

    def evaluate(self, task: Any, data: ShardSet, plan: Plan) -> Findings:
        """Strips of patches, a row for each filter, maps of high resolution first.

        Raises:
            UserError: the model has no maps.
        """
        backbone = backbone_of(task.model)
        if backbone is None:
            raise UserError(
                f"{type(task.model).__name__} gives no maps: it is no backbone and has none",
                "Leave FilterPatchesEvaluator out of evaluation",
            )
        images = self._images(task, data)
        values, places = self._peaks(backbone, images)
        exhibits: list[Exhibit] = []
        for info in backbone.feature_info:
            peaks = values[info.name]
            chosen = (
                peaks.std(0).argsort(descending=True, stable=True)[: self.num_filters].sort().values.tolist()
            )
            strips = []
            for number in chosen:
                best = peaks[:, number].argsort(descending=True, stable=True)[: self.num_patches].tolist()
                shown = [
                    _patch(backbone, info.name, number, int(places[info.name][row, number]), images[row])
                    for row in best
                ]
                strips.append(Strip(f"filter {number}", shown))
            caption = (
                f"For {len(chosen)} of {info.num_channels} filters, a row each, what excites them most in"
                f" {len(images):,} images of the test split. One pixel of these maps stands for"
                f" {info.stride}x{info.stride} of the image."
            )
            exhibits.append(
                ImageStrips(f"filters_{info.name}", f"What filters of {info.name} see", caption, [], strips)
            )
        return Findings(exhibits=exhibits)

    def _images(self, task: Any, data: ShardSet) -> Float[Tensor, "images channels height width"]:
        found, count = [], 0
        for batch in EvaluationLoader(data.split("test"), self.batch_size):
            found.append(task.inputs(batch))
            count += len(found[-1])
            if count >= self.num_images:
                break
        return torch.cat(found)[: self.num_images]

    @torch.no_grad()
    def _peaks(
        self, backbone: Backbone, images: Float[Tensor, "images channels height width"]
    ) -> tuple[dict[str, Float[Tensor, "images filters"]], dict[str, Int[Tensor, "images filters"]]]:
        """The largest answer of each filter in each image, and at which place of its map."""
        values: dict[str, list[Tensor]] = {info.name: [] for info in backbone.feature_info}
        places: dict[str, list[Tensor]] = {info.name: [] for info in backbone.feature_info}
        for part in images.split(self.batch_size):
            for name, maps in backbone.feature_maps(part).items():
                best = maps.flatten(2).max(dim=2)
                values[name].append(best.values)
                places[name].append(best.indices)
        return (
            {name: torch.cat(parts) for name, parts in values.items()},
            {name: torch.cat(parts) for name, parts in places.items()},
        )


def backbone_of(model: Any) -> Backbone | None:
    """The model itself if it is a backbone, or the one that it is built on."""
    own: Sequence[Any] = (model, getattr(model, "backbone", None))
    return next((one for one in own if isinstance(one, Backbone)), None)


def _patch(
    backbone: Backbone, name: str, number: int, place: int, image: Float[Tensor, "channels height width"]
) -> numpy.ndarray:
    """What a filter looks at, at one place of its map, as a square image."""
    given = image[None].clone().requires_grad_()
    answer = backbone.feature_maps(given)[name].flatten(2)[0, number, place]
    (gradient,) = torch.autograd.grad(answer, given)
    strength = gradient[0].abs().amax(0)
    seen = strength > _LEAST_SHARE * strength.max()
    if not seen.any():  # an answer of zero, behind a rectifier
        seen = torch.ones_like(seen)
    rows, columns = seen.any(1).nonzero()[:, 0], seen.any(0).nonzero()[:, 0]
    cut = image[:, int(rows[0]) : int(rows[-1]) + 1, int(columns[0]) : int(columns[-1]) + 1]
    shown = Image.fromarray(pixels(cut))
    return numpy.asarray(shown.resize((_PATCH_PX, _PATCH_PX), Image.Resampling.NEAREST))
