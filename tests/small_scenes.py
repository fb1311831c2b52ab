"""Scenes of plain rectangles whose level tells their class, as real shards; and nets that know all of it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from modules.bricks.boxes import encode_boxes
from modules.configuration.composition.compose import compose
from modules.configuration.plans.run_plan import Code, Plan
from modules.configuration.schema.data_settings import DataSettings
from modules.datamodules.samples import ArraySamples
from modules.datamodules.shard_set import ShardSet
from modules.models.convolutional.resnet import ResNet
from modules.models.convolutional.ssd import SSD, Detections
from tests.plans import plan_of
from tests.written_shards import write_samples

CLASSES = ["a", "b", "c"]
SIDE = 32
STEP = 60
"""Levels from one class to the next; the ground is 0."""


def scene_plan(recipe: str, *overrides: str) -> Plan:
    """A recipe over such scenes."""
    fields = f"data.fields.image.shape=[3,{SIDE},{SIDE}]", f"data.fields.mask.shape=[{SIDE},{SIDE}]"
    classes = f"data.fields.labels.classes={json.dumps(CLASSES)}"
    mask = f"data.fields.mask.classes={json.dumps(['ground', *CLASSES])}"
    config = compose([f"recipe={recipe}", *fields, classes, mask, "tracking=none", *overrides])
    return plan_of(config, Code("0" * 64, {}))


def scene(rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One to three rectangles of different classes, which may hide each other; each is seen."""
    image, mask = np.zeros((3, SIDE, SIDE), np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    for number in rng.permutation(len(CLASSES))[: rng.integers(1, 4)].tolist():
        width, height = rng.integers(4, 20, 2).tolist()
        left, top = int(rng.integers(0, SIDE - width + 1)), int(rng.integers(0, SIDE - height + 1))
        image[:, top : top + height, left : left + width] = STEP * (number + 1)
        mask[top : top + height, left : left + width] = number + 1
    labels = np.unique(mask[mask > 0]).astype(np.int64) - 1
    boxes = [_box(mask == number + 1) for number in labels]
    return {
        "image": image,
        "mask": mask,
        "labels": labels,
        "boxes": np.array(boxes, np.float32).reshape(-1, 4),
    }


def _box(inside: np.ndarray) -> list[int]:
    rows, columns = inside.nonzero()
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def write_scenes(folder: Path, data: DataSettings) -> ShardSet:
    """The shards, in `folder`."""
    rng, found = np.random.default_rng(0), {}
    for split, count in (("train", 40), ("validation", 10), ("test", 12), ("test_unseen", 5)):
        rows = [scene(rng) for _ in range(count)]
        columns: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]}
        columns |= {name: np.stack(columns[name]) for name in ("image", "mask")}
        found[split] = ArraySamples([str(number) for number in range(count)], columns)
    folder.mkdir(parents=True, exist_ok=True)
    write_samples(found, data, folder / "scenes")
    return ShardSet.open(folder / "scenes", data)


class KnowsMasks(nn.Module):
    """A net that says of each pixel what its level tells.

    Args:
        never: class that it never names.
    """

    def __init__(self, never: int | None = None) -> None:
        super().__init__()
        self.never = never
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, images: Tensor) -> Tensor:
        levels = torch.arange(len(CLASSES) + 1)[:, None, None] * STEP / 255
        logits = -100 * (images[:, :1] - levels).abs() * self.weight
        if self.never is not None:
            logits[:, self.never] = -1000
        return logits


class KnowsBoxes(SSD):
    """A detector that says what the levels tell, in the boxes that it is asked for.

    Args:
        shift_px: how far to the right of it.
    """

    def __init__(self, shift_px: float = 0.0) -> None:
        backbone = ResNet((3, SIDE, SIDE), None, num_blocks=(1,), num_filters=(4,), stem="small")
        super().__init__(backbone, len(CLASSES), sizes_px=[8, 16], num_filters=4)
        self.shift_px = shift_px

    def forward(self, images: Tensor) -> Detections:
        default_boxes = self.default_boxes([images])
        logits = torch.zeros(len(images), len(default_boxes), len(CLASSES) + 1)
        logits[..., 0] = 10.0
        boxes = default_boxes.repeat(len(images), 1, 1)
        for row, image in enumerate(images):
            for number in range(len(CLASSES)):
                inside = (image[0] * 255).round() == STEP * (number + 1)
                if inside.any():
                    boxes[row, number] = torch.tensor(_box(inside.numpy())) + torch.tensor(
                        [self.shift_px, 0.0] * 2
                    )
                    logits[row, number, number + 1] = 20.0 - number
        return Detections(logits, encode_boxes(boxes, default_boxes), default_boxes)
