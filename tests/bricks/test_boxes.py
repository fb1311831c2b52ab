"""Overlaps of boxes by counting pixels; offsets there and back."""

import pytest
import torch

from modules.bricks.boxes import box_areas, box_overlaps, clip_boxes, decode_boxes, encode_boxes


def whole_boxes(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    corner = torch.randint(0, 20, (count, 2), generator=generator)
    return torch.cat([corner, corner + torch.randint(0, 12, (count, 2), generator=generator)], 1).float()


def pixels_of(box: torch.Tensor) -> set[tuple[int, int]]:
    left, top, right, bottom = box.int().tolist()
    return {(x, y) for x in range(left, right) for y in range(top, bottom)}


def test_overlaps_are_those_of_the_pixels_within() -> None:
    one, other = whole_boxes(15, 0), whole_boxes(20, 1)
    found = box_overlaps(one, other)
    for row, first in enumerate(one):
        for column, second in enumerate(other):
            both, either = pixels_of(first) & pixels_of(second), pixels_of(first) | pixels_of(second)
            assert found[row, column] == pytest.approx(len(both) / len(either) if either else 0.0)
    assert box_areas(one).tolist() == [len(pixels_of(box)) for box in one]


def test_batches_compare_each_with_its_own() -> None:
    one, other = whole_boxes(12, 2).view(3, 4, 4), whole_boxes(15, 3).view(3, 5, 4)
    found = box_overlaps(one, other)
    for number in range(3):
        assert torch.equal(found[number], box_overlaps(one[number], other[number]))


def test_offsets_by_hand() -> None:
    default = torch.tensor([[10.0, 10.0, 20.0, 30.0]])
    box = torch.tensor([[11.0, 12.0, 21.0, 32.0]])
    # Moved by a tenth of the sides: 1 when divided by 0.1; as large: 0.
    assert encode_boxes(box, default).tolist() == pytest.approx([pytest.approx([1.0, 1.0, 0.0, 0.0])])
    larger = torch.tensor([[5.0, 0.0, 25.0, 40.0]])
    assert encode_boxes(larger, default)[0].tolist() == pytest.approx([0, 0, 3.4657359, 3.4657359])


def test_offsets_give_the_boxes_back_and_never_infinity() -> None:
    default = whole_boxes(30, 4) + torch.tensor([0.0, 0.0, 3.0, 3.0])
    boxes = whole_boxes(30, 5) + torch.tensor([0.0, 0.0, 1.0, 1.0])
    torch.testing.assert_close(
        decode_boxes(encode_boxes(boxes, default), default), boxes, atol=1e-4, rtol=1e-5
    )
    assert decode_boxes(torch.full((30, 4), 1e4), default).isfinite().all()


def test_clipped_to_the_image() -> None:
    boxes = torch.tensor([[-3.0, 2.0, 40.0, 9.0], [31.0, 21.0, 35.0, 25.0]])
    assert clip_boxes(boxes, 20, 30).tolist() == [[0, 2, 30, 9], [30, 20, 30, 20]]
