"""Heat maps: where each class is seen in an image of any size, by a softmax's cross-entropy at each place.

A classifier of windows that runs over the whole image (Long, Shelhamer & Darrell 2015, arXiv 1411.4038,
section 3): a place learns the class of the object in whose middle it lies, or the ground where it lies far
from all of them. Of the ground the places that are most wrong are learned from, as in SSD (Liu et al. 2016,
arXiv 1512.02325, section 2.2).
"""

from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from modules.configuration.errors import UserError
from modules.generation.heat_map_peaks import peaks
from modules.metrics.mean import Mean
from modules.metrics.named_peaks import ObjectsAndPeaks, count_peaks
from modules.tasks.box_matching import hard_negatives
from modules.tasks.image_inputs import image_inputs, images_and_sizes, served_image
from modules.tasks.served import Served, ServedOutput
from modules.tasks.task import Task

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.configuration.schema.data_settings import DataSettings
    from modules.datamodules.vocabulary import Vocabulary


@runtime_checkable
class WindowClassifier(Protocol):
    """A net that gives logits, of the ground and of each class, for windows of an image at even distances.

    Attributes:
        stride_px: from one window to the next.
        first_px: where in an image the middle of the first window lies, along either axis.
    """

    stride_px: int
    first_px: float

    def __call__(
        self, images: Float[Tensor, "batch channels height width"], /
    ) -> Float[Tensor, "batch classes out_height out_width"]: ...


class Peaks(nn.Module):
    """The objects that heat maps show, as boxes of one size around their peaks.

    Args:
        model: see `HeatMaps`.
        object_px: side of the boxes, and the least distance between two.
        max_objects: of an image.
        min_score: of an object.
    """

    model: WindowClassifier

    def __init__(self, model: WindowClassifier, object_px: float, max_objects: int, min_score: float) -> None:
        super().__init__()
        self.model = model
        self.object_px = object_px
        self.max_objects = max_objects
        self.min_score = min_score

    def forward(
        self,
        images: Float[Tensor, "batch channels height width"],
        sizes: Int[Tensor, "batch 2"] | None = None,
    ) -> Float[Tensor, "batch boxes 6"]:
        """Left, top, right, bottom as shares of width and height, score, class number.

        Args:
            images: in 0..1, padded.
            sizes: height and width of each; None = there is no padding.
        """
        heat = self.model(images).softmax(dim=1)[:, 1:]
        centres, scores, classes = peaks(
            heat, self.model.first_px, self.model.stride_px, self.max_objects, self.object_px / 2
        )
        if sizes is None:
            height, width = images.shape[2:]
        else:
            height, width = sizes.to(images.dtype).T[:, :, None]
        x, y = centres.unbind(-1)
        half = self.object_px / 2
        sides = [(x - half) / width, (y - half) / height, (x + half) / width, (y + half) / height]
        kept = scores * ((scores >= self.min_score) & (x < width) & (y < height))
        return torch.stack([*(side.clamp(0, 1) for side in sides), kept, classes.to(kept.dtype)], dim=-1)


class HeatMaps(Task):
    """Learns where in an image each class is seen.

    Batches hold `image` ([batch, channels, height, width], uint8 0..255 or float 0..1, padded), `boxes`
    ([batch, boxes, 4], x0, y0, x1, y1 in pixels, padded), their lengths, and `labels` ([batch, boxes]).

    Args:
        model: from images in 0..1 to logits of windows, the ground first; see `WindowClassifier`.
        num_classes: of objects; the ground is another one.
        object_px: side of the objects: of the boxes that are served.
        hit_px: how far the middle of a window may lie from that of an object to show it.
        miss_px: from where on it shows the ground; between the two it learns nothing.
        negatives: windows of the ground that are learned from, for each that shows an object.
        max_objects: served for each image.
        min_score: of an object that is served.
        image: the field of images.
        boxes: the field of boxes.
        labels: the field of class numbers.

    Raises:
        ValueError: the model is no classifier of windows, or distances are not in order.
    """

    validation_metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "validation/loss": "min",
        "validation/window_accuracy": "max",
        "validation/f1": "max",
    }
    serves = True
    model: WindowClassifier

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        object_px: float = 20.0,
        hit_px: float = 3.0,
        miss_px: float = 6.0,
        negatives: float = 3.0,
        max_objects: int = 200,
        min_score: float = 0.5,
        image: str = "image",
        boxes: str = "boxes",
        labels: str = "labels",
    ) -> None:
        super().__init__(model)
        if not isinstance(model, WindowClassifier):
            raise ValueError(f"{type(model).__name__} is no classifier of windows: it has no stride_px")
        if not 0 < hit_px <= miss_px:
            raise ValueError(f"hit_px={hit_px}, miss_px={miss_px}: 0 < hit_px <= miss_px")
        self.num_classes = num_classes
        self.object_px = object_px
        self.hit_px = hit_px
        self.miss_px = miss_px
        self.negatives = negatives
        self.max_objects = max_objects
        self.min_score = min_score
        self.image = image
        self.boxes = boxes
        self.labels = labels

    def inputs(self, batch: dict[str, Tensor]) -> Float[Tensor, "batch channels height width"]:
        """Images as the model takes them, in the floating-point type that the precision asks for."""
        return image_inputs(batch[self.image])

    def loss(self, batch: dict[str, Tensor]) -> Mean:
        """Of the windows that show an object and of those of the ground that are most wrong.

        Raises:
            UserError: the model gives more or fewer maps than there are classes and the ground.
        """
        logits = self.model(self.inputs(batch))
        if logits.shape[1] != self.num_classes + 1:
            raise UserError(
                f"the model gives {logits.shape[1]} maps, for the ground and {self.num_classes} classes",
                f"Set model.num_classes={self.num_classes + 1}",
            )
        losses, learned = self._losses(logits, self.targets(batch, logits))
        return Mean(torch.where(learned, losses, 0.0).sum(), learned.sum().clamp(min=1))

    def validate(self, batch: dict[str, Tensor]) -> dict[str, Mean]:
        logits = self.model(self.inputs(batch))
        targets = self.targets(batch, logits)
        losses, learned = self._losses(logits, targets)
        right = logits.argmax(dim=1) == targets
        return {
            "validation/loss": Mean.of(losses, learned),
            "validation/window_accuracy": Mean.of(right.flatten(1), learned),
            "validation/f1": self._f1(self.objects_and_peaks(batch, logits), logits),
        }

    def _f1(self, images: list[ObjectsAndPeaks], logits: Tensor) -> Mean:
        """Harmonic mean of the precision and recall of peaks with the least score or more; over several
        batches it is one of all their peaks."""
        counts = count_peaks(images, self.min_score, self.object_px / 2)
        both = (
            counts.objects + counts.peaks or 1e-9
        )  # where nothing is and nothing is found, no division by 0
        return Mean(logits.new_tensor(2.0 * counts.named), logits.new_tensor(both))

    def objects_and_peaks(
        self, batch: dict[str, Tensor], logits: Float[Tensor, "batch _ height width"]
    ) -> list[ObjectsAndPeaks]:
        """What is on each image of a batch of raw fields, and what its maps show."""
        heat = logits.float().softmax(dim=1)[:, 1:]
        found = peaks(heat, self.model.first_px, self.model.stride_px, self.max_objects, self.object_px / 2)
        boxes = batch[self.boxes].float()
        lengths = batch[f"{self.boxes}_length"]
        sizes = batch.get(f"{self.image}_length")
        if sizes is None:
            sizes = lengths.new_tensor(batch[self.image].shape[2:]).expand(len(lengths), 2)
        each = zip(
            *(
                one.detach().cpu().numpy()
                for one in ((boxes[..., :2] + boxes[..., 2:]) / 2, batch[self.labels], lengths, sizes, *found)
            ),
            strict=True,
        )
        images = []
        for centres, labels, number, size, places, scores, classes in each:
            is_peak = (scores > 0) & (places < size[::-1]).all(axis=1)
            images.append(
                ObjectsAndPeaks(
                    centres[:number], labels[:number], places[is_peak], scores[is_peak], classes[is_peak]
                )
            )
        return images

    def targets(
        self, batch: dict[str, Tensor], logits: Float[Tensor, "batch _ height width"]
    ) -> Int[Tensor, "batch height width"]:
        """Of each window: 0 = the ground, a class number + 1, or -1 = nothing is learned there."""
        rows, columns = (
            self.model.first_px + self.model.stride_px * torch.arange(size, device=logits.device)
            for size in logits.shape[2:]
        )
        boxes, there = batch[self.boxes].to(logits.dtype), self._there(batch)
        centre = (boxes[..., :2] + boxes[..., 2:]) / 2
        across = (columns - centre[..., :1]).abs()[:, :, None, :]
        down = (rows - centre[..., 1:]).abs()[:, :, :, None]
        far = logits.new_full((), float("inf"))
        distance = torch.where(there[:, :, None, None], torch.maximum(across, down), far)
        # One more object, infinitely far, so that an image without any has a nearest one.
        distance = functional.pad(distance, (0, 0, 0, 0, 0, 1), value=float("inf"))
        labels = functional.pad(batch[self.labels], (0, 1))
        nearest, owner = distance.min(dim=1)
        named = labels.gather(1, owner.flatten(1)).view(owner.shape) + 1
        targets = torch.where(nearest <= self.hit_px, named, torch.where(nearest < self.miss_px, -1, 0))
        sizes = batch.get(f"{self.image}_length")
        if sizes is None:
            return targets
        inside = (rows < sizes[:, :1])[:, :, None] & (columns < sizes[:, 1:])[:, None, :]
        return torch.where(inside, targets, -1)

    def heat(self, batch: dict[str, Tensor]) -> Float[Tensor, "batch num_classes height width"]:
        """How probable each class is at each window of a batch of raw fields."""
        return self.model(self.inputs(batch)).softmax(dim=1)[:, 1:]

    def _there(self, batch: dict[str, Tensor]) -> Tensor:
        lengths = batch[f"{self.boxes}_length"]
        return torch.arange(batch[self.boxes].shape[1], device=lengths.device) < lengths[:, None]

    def _losses(self, logits: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """The loss of each window, and which are learned from; [batch, windows]."""
        losses = functional.cross_entropy(logits.float(), targets.clamp(min=0), reduction="none").flatten(1)
        flat = targets.flatten(1)
        positive = flat > 0
        # What is learned nothing from is no negative either: it has no loss.
        ground = torch.where(flat == 0, losses, 0.0)
        learned = positive | (hard_negatives(ground, positive, self.negatives) & (flat == 0))
        return losses, learned

    def served(self, data: "DataSettings", vocabularies: "Mapping[str, Vocabulary]") -> Served:
        """From images in 0..1, of any size, to their objects."""
        image = served_image(data, self.inputs, self.image)
        classes = tuple(data.fields[self.labels].classes or ())
        output = ServedOutput(self.boxes, "boxes", ("boxes", 6), classes)
        module = Peaks(self.model, self.object_px, self.max_objects, self.min_score)
        return Served(module, (image,), (output,))

    def served_inputs(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        return images_and_sizes(self.inputs(batch), batch, self.image)
