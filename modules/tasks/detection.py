"""Detection: the objects of an image, each with its box and its class.

Liu et al. (2016), *SSD: single shot multibox detector*, arXiv 1512.02325, section 2.2, equations 1 and 3: the
cross-entropy of matched default boxes and of hard negatives, and the smooth L1 distance of the matched ones'
offsets, by the number of matched ones. Deviates: of the whole batch, as in the authors' program.
"""

from typing import TYPE_CHECKING, ClassVar, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional

from modules.bricks.boxes import encode_boxes
from modules.configuration.errors import UserError
from modules.generation.detections import detect
from modules.metrics.average_precision import Objects, ScoredObjects, average_precision
from modules.metrics.mean import Mean
from modules.models.convolutional.ssd import SSD, Detections
from modules.tasks.box_matching import hard_negatives, match
from modules.tasks.image_inputs import image_inputs, images_and_sizes, served_image
from modules.tasks.served import Served, ServedOutput
from modules.tasks.task import Task
from modules.tasks.worker_shares import lists_of_all_workers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from modules.configuration.schema.data_settings import DataSettings
    from modules.datamodules.vocabulary import Vocabulary

_LEAST_OVERLAP = 0.2
"""With any default box; below, a detector's default boxes are not made for the objects."""


class Detecting(nn.Module):
    """A detector with what makes objects of its answers.

    Args:
        model: see `Detection`.
        max_boxes: given for each image.
        max_overlap: see `detect`.
        min_score: see `detect`.
    """

    def __init__(self, model: nn.Module, max_boxes: int, max_overlap: float, min_score: float) -> None:
        super().__init__()
        self.model = model
        self.max_boxes = max_boxes
        self.max_overlap = max_overlap
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
        height, width = images.shape[2:]
        boxes, scores, classes = detect(
            self.model(images), height, width, self.max_boxes, self.max_overlap, self.min_score
        )
        own = torch.tensor([[height, width]], device=boxes.device) if sizes is None else sizes
        shares = (boxes / own.flip(1).repeat(1, 2)[:, None]).clamp(max=1)
        return torch.cat([shares, scores[..., None], classes[..., None].to(boxes.dtype)], dim=-1)


class Detection(Task):
    """Learns to find and name objects.

    Batches hold `image` ([batch, channels, height, width], uint8 0..255 or float 0..1), `boxes` ([batch,
    boxes, 4], x0, y0, x1, y1 in pixels, padded, one row at least), `boxes_length` ([batch]) and `labels`
    ([batch, boxes], class numbers).

    Args:
        model: the detector.
        num_classes: of objects.
        augmentation: changes images and boxes of each batch in training; called with the images and `boxes`.
            A box that it leaves without size is no longer there.
        negatives: hard negatives for each default box that is matched.
        min_overlap: above which a default box is matched.
        max_boxes: that are looked at and served for each image.
        max_overlap: of two boxes of one class that are served.
        min_score: of a box that is served.
        image: the field of images.
        boxes: the field of boxes.
        labels: the field of class numbers.

    Raises:
        ValueError: the model is no detector, or one of more or fewer classes.
    """

    validation_metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "validation/loss": "min",
        "validation/class_loss": "min",
        "validation/box_loss": "min",
        "validation/mean_average_precision": "max",
    }
    serves = True
    model: SSD

    def __init__(
        self,
        model: nn.Module,
        num_classes: int,
        augmentation: nn.Module | None = None,
        negatives: float = 3.0,
        min_overlap: float = 0.5,
        max_boxes: int = 100,
        max_overlap: float = 0.45,
        min_score: float = 0.3,
        image: str = "image",
        boxes: str = "boxes",
        labels: str = "labels",
    ) -> None:
        super().__init__(model)
        if not isinstance(model, SSD):
            raise ValueError(f"{type(model).__name__} is no detector: it has no default boxes")
        if model.num_classes != num_classes:
            raise ValueError(
                f"the model names {model.num_classes} classes, the boxes {num_classes}: both must be those"
                " of data.fields.labels.classes"
            )
        self.augmentation = augmentation
        self.negatives = negatives
        self.min_overlap = min_overlap
        self.max_boxes = max_boxes
        self.max_overlap = max_overlap
        self.min_score = min_score
        self.image = image
        self.boxes = boxes
        self.labels = labels
        self._looked_at_boxes = False
        self._pairs: list[tuple[Objects, ScoredObjects]] = []

    def inputs(self, batch: dict[str, Tensor]) -> Float[Tensor, "batch channels height width"]:
        """Images as the model takes them, in the floating-point type that the precision asks for."""
        return image_inputs(batch[self.image])

    def loss(self, batch: dict[str, Tensor]) -> Mean:
        """Equation 1: a sum over matched default boxes, and their number."""
        images, boxes = self.inputs(batch), batch[self.boxes]
        if self.training and self.augmentation is not None:
            images, boxes = self.augmentation(images, boxes=boxes)
        classes, places, count = self._losses(self.model(images), boxes, batch)
        return Mean(classes + places, count)

    def validate(self, batch: dict[str, Tensor]) -> dict[str, Mean]:
        found = self.model(self.inputs(batch))
        self._pairs += self.compare(batch, found)
        classes, places, count = self._losses(found, batch[self.boxes], batch)
        return {
            "validation/loss": Mean(classes + places, count),
            "validation/class_loss": Mean(classes, count),
            "validation/box_loss": Mean(places, count),
        }

    def start_validation(self) -> None:
        self._pairs = []

    def finish_validation(self) -> dict[str, float]:
        """Mean average precision over the overlaps .5 to .95, of the whole split, over all workers."""
        truth, found = zip(*lists_of_all_workers(self._pairs), strict=True)
        precision = average_precision(truth, found, self.model.num_classes, self.max_boxes)
        return {"validation/mean_average_precision": precision.mean()}

    def compare(self, batch: dict[str, Tensor], found: Detections) -> list[tuple[Objects, ScoredObjects]]:
        """Of each image of a batch of raw fields, the objects that are there and those that were found.

        Whatever is more probable than a hundredth is found: the whole curve of precision and recall is asked.
        """
        height, width = batch[self.image].shape[2:]
        answers = [
            one.cpu().numpy() for one in detect(found, height, width, self.max_boxes, self.max_overlap)
        ]
        there = [batch[name].cpu().numpy() for name in (self.boxes, self.labels, f"{self.boxes}_length")]
        return [
            (
                Objects(boxes[:number].astype(float), labels[:number]),
                ScoredObjects(places[scores > 0], classes[scores > 0], scores[scores > 0]),
            )
            for boxes, labels, number, places, scores, classes in zip(*there, *answers, strict=True)
        ]

    def _losses(
        self, found: Detections, boxes: Tensor, batch: dict[str, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The sum of the classes' losses, that of the boxes', and the number of matched default boxes."""
        default_boxes = found.default_boxes
        boxes, there = boxes.to(default_boxes.dtype), (boxes[..., 2:] > boxes[..., :2]).all(-1)
        # Boxes without size are padding, wherever an augmentation left them: they go last.
        order = (~there).to(torch.int8).argsort(dim=1, stable=True)
        boxes = boxes.gather(1, order[..., None].expand_as(boxes))
        labels = batch[self.labels].gather(1, order)
        matched, reached = match(boxes, there.sum(1), default_boxes, self.min_overlap)
        self._look_at(reached, boxes)
        positive = matched >= 0
        objects = matched.clamp(min=0)
        targets = torch.where(positive, labels.gather(1, objects) + 1, 0)
        wanted = encode_boxes(boxes.gather(1, objects[..., None].expand(-1, -1, 4)), default_boxes)
        distance = functional.smooth_l1_loss(found.offsets.float(), wanted.float(), reduction="none").sum(-1)
        place_loss = torch.where(positive, distance, 0.0).sum()
        logits = found.logits.float()
        losses = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
        losses = losses.view(targets.shape)
        learned = positive | hard_negatives(losses, positive, self.negatives)
        class_loss = torch.where(learned, losses, 0.0).sum()
        return class_loss, place_loss, positive.sum().clamp(min=1)

    def _look_at(self, reached: Tensor, boxes: Tensor) -> None:
        """
        Raises:
            UserError: no default box is like any object of the first batch that has objects.
        """
        if self._looked_at_boxes or reached.is_meta or not (reached >= 0).any():
            return
        self._looked_at_boxes = True
        if reached.max() < _LEAST_OVERLAP:
            sides = (boxes[..., 2:] - boxes[..., :2])[reached >= 0]
            width, height = sides.median(dim=0).values.tolist()
            raise UserError(
                f"no default box overlaps any object of a batch by {_LEAST_OVERLAP}: about {width:.0f}x"
                f"{height:.0f} pixels are the objects",
                "Set model.sizes_px to the sizes of the objects",
            )

    def served(self, data: "DataSettings", vocabularies: "Mapping[str, Vocabulary]") -> Served:
        """From images in 0..1 to their objects."""
        image = served_image(data, self.inputs, self.image)
        classes = tuple(data.fields[self.labels].classes or ())
        output = ServedOutput(self.boxes, "boxes", ("boxes", 6), classes)
        module = Detecting(self.model, self.max_boxes, self.max_overlap, self.min_score)
        return Served(module, (image,), (output,))

    def served_inputs(self, batch: dict[str, Tensor]) -> tuple[Tensor, ...]:
        return images_and_sizes(self.inputs(batch), batch, self.image)
