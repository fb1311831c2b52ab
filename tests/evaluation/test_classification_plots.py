"""Images of an evaluation: each pixel as it was, each sheet beside what is said of it."""

import json
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

from modules.evaluation.classification_plots import plot_confusion, plot_mistakes_and_samples, write_image
from modules.evaluation.predictions import Predictions


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 8, 12), (28, 28), (1, 300, 200)])
def test_a_written_image_is_enlarged_without_a_new_grey(tmp_path: Path, shape: tuple[int, ...]) -> None:
    image = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    write_image(image, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as opened:
        pixels = torch.from_numpy(numpy.array(opened))
    factor = pixels.shape[0] // shape[-2]
    assert max(pixels.shape[:2]) >= 100
    expected = image if image.ndim == 2 else image.permute(1, 2, 0).squeeze(-1)
    for row, column in ((0, 0), (factor - 1, factor - 1)):
        assert torch.equal(pixels[row::factor, column::factor], expected)


@pytest.mark.parametrize(
    ("image", "grey"),
    [
        (torch.tensor([[0, 100, 255, 300]], dtype=torch.int16), [0, 100, 255, 255]),
        (torch.tensor([[-0.5, 0.2, 1.0, 1.5]]), [0, 51, 255, 255]),
        (torch.tensor([[False, True]]), [0, 255]),
    ],
)
def test_a_written_image_is_as_bright_as_the_net_takes_it(
    tmp_path: Path, image: torch.Tensor, grey: list[int]
) -> None:
    write_image(image, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as written:
        pixels = numpy.array(written)
    assert pixels[0, :: pixels.shape[1] // len(grey)].tolist() == grey


def predictions(num_samples: int, num_classes: int) -> Predictions:
    generator = torch.Generator().manual_seed(3)
    return Predictions(
        torch.randn(num_samples, num_classes, generator=generator).softmax(dim=1),
        torch.randint(num_classes, (num_samples,), generator=generator),
        torch.arange(num_samples) + 100,
    )


def test_mistakes_and_samples_lie_beside_what_is_said_of_them(tmp_path: Path) -> None:
    found = predictions(50, 3)
    pixels = torch.arange(50, dtype=torch.uint8)[:, None, None, None].expand(50, 1, 4, 4)
    classes = ["$cat$", "dog", "a name that is much longer than a title"]
    sheets = plot_mistakes_and_samples(found, classes, lambda places: pixels[places], tmp_path)
    assert [sheet.name for sheet in sheets] == ["mistakes.png", "samples.png"]
    for name in ("mistakes", "samples"):
        entries = json.loads((tmp_path / name / f"{name}.json").read_text())
        assert entries and {entry["file"] for entry in entries} == {
            file.name for file in (tmp_path / name).glob("*.png")
        }
        for entry in entries:
            place = entry["index"] - 100
            with Image.open(tmp_path / name / entry["file"]) as image:
                assert image.getpixel((0, 0)) == place
            assert entry["truth"] == classes[found.truth[place]]
            assert entry["prediction"] == classes[found.prediction[place]]
            assert entry["probability"] == pytest.approx(float(found.probabilities[place].max()))
            assert (entry["truth"] != entry["prediction"]) or name == "samples"


def test_a_model_without_mistakes_has_an_empty_list(tmp_path: Path) -> None:
    found = Predictions(torch.eye(2), torch.tensor([0, 1]), torch.tensor([0, 1]))
    pixels = torch.zeros(2, 4, 4, dtype=torch.uint8)
    plot_mistakes_and_samples(found, ["a", "b"], lambda places: pixels[places], tmp_path)
    assert json.loads((tmp_path / "mistakes" / "mistakes.json").read_text()) == []
    assert not (tmp_path / "mistakes.png").exists()


@pytest.mark.parametrize("num_classes", [2, 100])
def test_a_confusion_matrix_of_few_or_many_classes_is_drawn(tmp_path: Path, num_classes: int) -> None:
    names = [f"class {number}" for number in range(num_classes)]
    plot_confusion(predictions(200, num_classes).confusion, names, tmp_path / "confusion.png")
    with Image.open(tmp_path / "confusion.png") as image:
        assert min(image.size) > 200 and len(image.getcolors(2**20) or []) > 5
