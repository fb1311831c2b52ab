"""A pair of images is one sample, which every split holds."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.formats.image_pair import ImagePairReader

AXES = ["channel", "height", "width"]
FIELDS = {
    "content": FieldSettings("uint8", [3, 4, 6], AXES, "level"),
    "style": FieldSettings("uint8", [3, 4, 4], AXES, "level"),
}
FILES = {"content": "a/photograph.png", "style": "painting.png"}


def write(folder: Path) -> None:
    (folder / "a").mkdir()
    columns = np.zeros((8, 20, 3), np.uint8)
    columns[:, 4:16] = (10, 20, 30)  # the middle, of the field's proportions
    Image.fromarray(columns).save(folder / "a/photograph.png")
    Image.fromarray(np.full((7, 7), 90, np.uint8)).save(folder / "painting.png")


def test_each_split_holds_the_one_sample_cut_and_resized(tmp_path: Path) -> None:
    write(tmp_path)
    found = ImagePairReader(FILES, ["train", "test"]).samples(tmp_path, FIELDS)
    assert list(found) == ["train", "test"]
    for samples in found.values():
        assert list(samples.keys) == ["0"]
        sample = samples.read(np.array([0]))
        assert sample["content"].shape == (1, 3, 4, 6) and sample["content"].dtype == np.uint8
        assert (sample["content"][0, :, :, 1:-1] == np.array([10, 20, 30])[:, None, None]).all()
        assert (sample["style"] == 90).all() and sample["style"].shape == (1, 3, 4, 4)


def test_a_frame_is_cut_off(tmp_path: Path) -> None:
    write(tmp_path)
    framed = np.zeros((10, 20), np.uint8)
    framed[1:9, 2:18] = 90  # a tenth at each side is black
    Image.fromarray(framed).save(tmp_path / "painting.png")
    for margins, seen in (({"style": 0.1}, {90}), (None, {0, 90})):
        reader = ImagePairReader(FILES, ["train"], margins)
        fields = FIELDS | {"style": FieldSettings("uint8", [3, 8, 16], AXES, "level")}
        found = reader.samples(tmp_path, fields)["train"].read(np.array([0]))["style"]
        assert {int(found.min()), int(found.max())} == seen
    for margins in ({"style": 0.5}, {"style": -0.1}, {"frame": 0.1}):
        with pytest.raises(ValueError, match="margins: "):
            ImagePairReader(FILES, ["train"], margins)


def test_what_cannot_be_read(tmp_path: Path) -> None:
    write(tmp_path)
    with pytest.raises(UserError, match="names \\['content'\\]"):
        ImagePairReader({"content": "a/photograph.png"}, ["train"]).samples(tmp_path, FIELDS)
    grey = FIELDS | {"style": FieldSettings("float32", [3, 4, 4], AXES, "level")}
    with pytest.raises(UserError, match=r"fields\.style is float32"):
        ImagePairReader(FILES, ["train"]).samples(tmp_path, grey)
    ragged = FIELDS | {"style": FieldSettings("uint8", [3, "height", 4], AXES, "level")}
    with pytest.raises(UserError, match=r"fields\.style is uint8"):
        ImagePairReader(FILES, ["train"]).samples(tmp_path, ragged)
    (tmp_path / "painting.png").write_text("no")
    with pytest.raises(UserError, match="is no image"):
        ImagePairReader(FILES, ["train"]).samples(tmp_path, FIELDS)
