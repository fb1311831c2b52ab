"""Pictures in: every kind of file fitted to the model. Pictures out: each pixel as it was."""

import json
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image

from modules.configuration.errors import UserError
from modules.registry.drawing import draw_confusion, draw_mistakes_and_samples, write_picture
from modules.registry.evaluation import Evaluation
from modules.registry.pictures import find_pictures, picture_inputs


def saved(image: Image.Image, file: Path, **options) -> Path:
    image.save(file, **options)
    return file


def test_a_picture_of_the_right_size_arrives_pixel_by_pixel(tmp_path: Path) -> None:
    pixels = numpy.arange(64, dtype=numpy.uint8).reshape(8, 8) * 4
    file = saved(Image.fromarray(pixels), tmp_path / "a.png")
    assert torch.equal(picture_inputs([file], (1, 8, 8))[0, 0], torch.from_numpy(pixels).float() / 255)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_kind_of_picture_becomes_grey_or_colour(tmp_path: Path, mode: str, channels: int) -> None:
    grey = Image.new("L", (20, 10), 255)
    image = (
        Image.fromarray(numpy.full((10, 20), 65535, numpy.uint16)) if mode == "I;16" else grey.convert(mode)
    )
    file = saved(image, tmp_path / ("a.tif" if mode in ("CMYK", "I;16") else "a.png"))
    inputs = picture_inputs([file], (channels, 6, 6))
    assert inputs.shape == (1, channels, 6, 6) and inputs.dtype == torch.float32
    torch.testing.assert_close(inputs, torch.ones_like(inputs))


def test_what_is_transparent_is_white_and_nothing_is_inverted(tmp_path: Path) -> None:
    image = Image.new("RGBA", (4, 4), (0, 0, 0, 0))
    image.putpixel((0, 0), (0, 0, 0, 255))
    inputs = picture_inputs([saved(image, tmp_path / "a.png")], (1, 4, 4))
    assert inputs[0, 0, 0, 0] == 0 and inputs[0, 0, 1:].min() == 1


def test_the_camera_s_turn_is_undone(tmp_path: Path) -> None:
    image = Image.new("L", (8, 8), 0)
    image.paste(255, (0, 0, 8, 4))
    exif = Image.Exif()
    exif[0x0112] = 3  # taken upside down
    file = saved(image, tmp_path / "a.png", exif=exif)
    inputs = picture_inputs([file], (1, 8, 8))
    assert inputs[0, 0, 0].max() == 0 and inputs[0, 0, 7].min() == 1


@pytest.mark.parametrize("content", [b"", b"no picture", b"\x89PNG\r\n\x1a\n" + bytes(40)])
def test_a_broken_picture_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(UserError, match=r"bad\.png is no picture") as raised:
        picture_inputs([tmp_path / "bad.png"], (1, 8, 8))
    assert "\n" not in str(raised.value)


def test_a_truncated_picture_is_one_line(tmp_path: Path) -> None:
    noise = numpy.random.default_rng(0).integers(0, 255, (40, 40), dtype=numpy.uint8)
    file = saved(Image.fromarray(noise), tmp_path / "cut.png")
    file.write_bytes(file.read_bytes()[:600])
    with pytest.raises(UserError, match="no picture that can be read"):
        picture_inputs([file], (1, 8, 8))


def test_a_model_of_something_else_takes_no_picture(tmp_path: Path) -> None:
    file = saved(Image.new("L", (4, 4)), tmp_path / "a.png")
    with pytest.raises(UserError, match=r"\[12\], which are no pictures"):
        picture_inputs([file], (12,))


def test_a_folder_gives_its_pictures_by_name(tmp_path: Path) -> None:
    for name in ("b.png", "a.JPG", "notes.txt", "c.gif"):
        (tmp_path / name).touch()
    assert [file.name for file in find_pictures(tmp_path)] == ["a.JPG", "b.png", "c.gif"]
    assert find_pictures(tmp_path / "b.png") == [tmp_path / "b.png"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no picture"):
        find_pictures(tmp_path / "empty")
    with pytest.raises(UserError, match="does not exist"):
        find_pictures(tmp_path / "nowhere.png")


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 8, 12), (28, 28), (1, 300, 200)])
def test_a_written_picture_is_enlarged_without_a_new_grey(tmp_path: Path, shape: tuple[int, ...]) -> None:
    picture = torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    write_picture(picture, tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        pixels = torch.from_numpy(numpy.array(image))
    factor = pixels.shape[0] // shape[-2]
    assert max(pixels.shape[:2]) >= 100
    expected = picture if picture.ndim == 2 else picture.permute(1, 2, 0).squeeze(-1)
    for row, column in ((0, 0), (factor - 1, factor - 1)):
        assert torch.equal(pixels[row::factor, column::factor], expected)


def evaluation(num_samples: int, num_classes: int) -> Evaluation:
    generator = torch.Generator().manual_seed(3)
    return Evaluation(
        torch.randn(num_samples, num_classes, generator=generator).softmax(dim=1),
        torch.randint(num_classes, (num_samples,), generator=generator),
        torch.arange(num_samples) + 100,
    )


def test_mistakes_and_samples_lie_beside_what_is_said_of_them(tmp_path: Path) -> None:
    found = evaluation(50, 3)
    pixels = torch.arange(50, dtype=torch.uint8)[:, None, None, None].expand(50, 1, 4, 4)
    classes = ["$cat$", "dog", "a name that is much longer than a title"]
    sheets = draw_mistakes_and_samples(found, classes, lambda places: pixels[places], tmp_path)
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
    found = Evaluation(torch.eye(2), torch.tensor([0, 1]), torch.tensor([0, 1]))
    pixels = torch.zeros(2, 4, 4, dtype=torch.uint8)
    draw_mistakes_and_samples(found, ["a", "b"], lambda places: pixels[places], tmp_path)
    assert json.loads((tmp_path / "mistakes" / "mistakes.json").read_text()) == []
    assert not (tmp_path / "mistakes.png").exists()


@pytest.mark.parametrize("num_classes", [2, 100])
def test_a_confusion_matrix_of_few_or_many_classes_is_drawn(tmp_path: Path, num_classes: int) -> None:
    names = [f"class {number}" for number in range(num_classes)]
    draw_confusion(evaluation(200, num_classes).confusion, names, tmp_path / "confusion.png")
    with Image.open(tmp_path / "confusion.png") as image:
        assert min(image.size) > 200 and len(image.getcolors(2**20) or []) > 5
