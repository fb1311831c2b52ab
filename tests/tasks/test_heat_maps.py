"""Heat maps: which windows learn what."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from modules.configuration.errors import UserError
from modules.metrics.named_peaks import count_peaks
from modules.models.convolutional.convolutional_lenet import ConvolutionalLeNet
from modules.tasks.heat_maps import HeatMaps, Peaks


def net() -> ConvolutionalLeNet:
    torch.manual_seed(0)
    return ConvolutionalLeNet(28, 1, 4, (3, 4), hidden_sizes=(5,), padding_px=12)


def task() -> HeatMaps:
    return HeatMaps(net(), 3).eval()


def batch() -> dict[str, Tensor]:
    """One object around (10, 14) in an image of 24x32, and an image of 20x16 without any."""
    generator = torch.Generator().manual_seed(0)
    return {
        "image": torch.randint(0, 256, (2, 1, 24, 32), dtype=torch.uint8, generator=generator),
        "image_length": torch.tensor([[24, 32], [20, 16]]),
        "boxes": torch.tensor([[[6.0, 9, 14, 19]], [[0, 0, 0, 0]]]),
        "boxes_length": torch.tensor([1, 0]),
        "labels": torch.tensor([[2], [0]]),
    }


def test_windows_near_the_middle_of_an_object_learn_its_class() -> None:
    made = task()
    logits = made.model(made.inputs(batch()))
    targets = made.targets(batch(), logits)
    assert targets.shape == (2, 6, 8)
    # Middles of windows: 2, 6, 10, ...; those within 3 px of (10, 14) along both axes, and less than 6.
    assert (targets[0] == 3).nonzero().tolist() == [[3, 2]]
    ignored = [[row, column] for row in (2, 3, 4) for column in (1, 2, 3) if (row, column) != (3, 2)]
    assert (targets[0] == -1).nonzero().tolist() == ignored
    inside = targets[1] == 0
    assert inside.sum() == 5 * 4 and inside[:5, :4].all() and (targets[1][~inside] == -1).all()


def test_the_loss_is_of_objects_and_of_the_ground_that_is_most_wrong() -> None:
    made = task()
    logits = made.model(made.inputs(batch()))
    targets = made.targets(batch(), logits)
    losses = functional.cross_entropy(logits, targets.clamp(min=0), reduction="none")
    expected = losses[0][targets[0] == 3].sum()
    for row in range(2):
        expected = expected + losses[row][targets[row] == 0].sort(descending=True).values[:3].sum()
    loss = made.loss(batch())
    assert loss.count == 1 + 3 + 3
    torch.testing.assert_close(loss.total, expected)


def test_validation_names_what_it_finds_whatever_a_batch_is_padded_to() -> None:
    made = HeatMaps(net(), 3, min_score=0.0).eval()
    both = batch()
    both["image"][1, :, 20:] = both["image"][1, :, :, 16:] = 0
    alone = [
        {name: values[:1] for name, values in both.items()},
        {name: values[1:] for name, values in both.items()} | {"image": both["image"][1:, :, :20, :16]},
    ]
    found = made.objects_and_peaks(both, made.model(made.inputs(both)))
    for one, of_both in zip(alone, found, strict=True):
        (expected,) = made.objects_and_peaks(one, made.model(made.inputs(one)))
        assert (of_both.places < one["image"].shape[:1:-1]).all()
        assert of_both.labels.tolist() == expected.labels.tolist()
        assert of_both.classes.tolist() == expected.classes.tolist()
        assert of_both.places == pytest.approx(expected.places, abs=1e-3)
    f1 = made.validate(both)["validation/f1"]
    counts = count_peaks(found, 0.0, 10.0)
    assert counts.objects == 1 and counts.peaks > 0
    assert f1.value == pytest.approx(counts.f1)


def test_an_exported_program_takes_images_of_any_size() -> None:
    made = task()
    served = Peaks(made.model, 20.0, 30, 0.0)
    sizes = {name: torch.export.Dim(name, min=28, max=400) for name in ("height", "width")}
    program = torch.export.export(
        served,
        (torch.rand(2, 1, 60, 44),),
        dynamic_shapes=({0: torch.export.Dim("batch", max=64), 2: sizes["height"], 3: sizes["width"]},),
    )
    for shape in ((2, 1, 60, 44), (1, 1, 28, 120)):
        image = torch.rand(*shape)
        torch.testing.assert_close(program.module()(image), served(image))


def test_refused() -> None:
    with pytest.raises(ValueError, match="no classifier of windows"):
        HeatMaps(nn.Identity(), 3)
    with pytest.raises(ValueError, match="hit_px=5"):
        HeatMaps(net(), 3, hit_px=5.0, miss_px=4.0)


def test_maps_for_another_number_of_classes_are_refused() -> None:
    with pytest.raises(UserError, match=r"gives 4 maps, .* 5 classes\. Set model.num_classes=6"):
        HeatMaps(net(), 5).loss(batch())
