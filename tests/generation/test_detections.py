"""Non-maximum suppression and decoding against brute force, in exported programs too."""

import pytest
import torch
from torch import Tensor, nn

from modules.bricks.boxes import box_overlaps, encode_boxes
from modules.generation import detections
from modules.generation.detections import detect, suppress
from modules.models.convolutional.ssd import Detections


def random_boxes(count: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    centre = torch.rand(count, 2, generator=generator) * 60
    side = torch.rand(count, 2, generator=generator) * 30 + 4
    return torch.cat([centre - side / 2, centre + side / 2], 1)


def brute_force(boxes: Tensor, classes: Tensor, max_overlap: float) -> list[bool]:
    overlaps, kept = box_overlaps(boxes, boxes), []
    for number in range(len(boxes)):
        rivals = [other for other in kept if classes[other] == classes[number]]
        if all(overlaps[number, other] <= max_overlap for other in rivals):
            kept.append(number)
    return [number in kept for number in range(len(boxes))]


@pytest.mark.parametrize("num_classes", [1, 3])
@pytest.mark.parametrize("count", [1, 50, 300])
def test_what_is_kept(num_classes: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detections, "_BLOCK", 64)
    boxes = torch.stack([random_boxes(count, seed) for seed in (0, 1)])
    classes = torch.randint(0, num_classes, (2, count), generator=torch.Generator().manual_seed(2))
    for max_overlap in (0.2, 0.45, 0.8):
        found = suppress(boxes, classes, max_overlap)
        assert found.tolist() == [brute_force(*one, max_overlap) for one in zip(boxes, classes, strict=True)]


def test_a_chain_is_suppressed_link_by_link() -> None:
    """Each box overlaps the next alone, so every other one stays."""
    left = torch.arange(20.0) * 5
    boxes = torch.stack([left, torch.zeros(20), left + 10, torch.ones(20)], dim=1)[None]
    kept = suppress(boxes, torch.zeros(1, 20, dtype=torch.int64), 0.3)[0]
    assert kept.tolist() == [number % 2 == 0 for number in range(20)]


class Suppressing(nn.Module):
    def forward(self, boxes: Tensor, classes: Tensor) -> Tensor:
        return suppress(boxes, classes, 0.45)


def test_an_exported_program_keeps_the_same() -> None:
    boxes = torch.stack([random_boxes(40, seed) for seed in (3, 4)])
    classes = torch.randint(0, 2, (2, 40), generator=torch.Generator().manual_seed(5))
    batch = torch.export.Dim("batch", min=1, max=8)
    program = torch.export.export(Suppressing(), (boxes, classes), dynamic_shapes=({0: batch}, {0: batch}))
    assert torch.equal(program.module()(boxes, classes), suppress(boxes, classes, 0.45))
    assert torch.equal(program.module()(boxes[:1], classes[:1]), suppress(boxes[:1], classes[:1], 0.45))


def test_the_most_probable_classes_of_the_default_boxes() -> None:
    default_boxes = random_boxes(6, 6).clamp(0, 60)
    truth = (random_boxes(6, 7) * 0.5 + 15).clamp(0, 60)
    logits = torch.full((1, 6, 4), -10.0)
    logits[..., 0] = 0.0
    logits[0, 2, 3], logits[0, 4, 1] = 3.0, 1.0
    found = Detections(logits, encode_boxes(truth, default_boxes)[None], default_boxes)
    boxes, scores, classes = detect(found, 60, 60, max_boxes=3)
    assert classes[0, :2].tolist() == [2, 0] and scores[0, 2] == 0
    torch.testing.assert_close(boxes[0, :2], truth[[2, 4]])
    torch.testing.assert_close(scores[0, :2], logits[0].softmax(1)[[2, 4], [3, 1]])
    clipped, *_ = detect(found, 20, 25, max_boxes=3)
    assert clipped[..., 2].max() <= 25 and clipped[..., 3].max() <= 20
