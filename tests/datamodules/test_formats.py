"""Readers give what the files hold and refuse what they don't; images survive their way through shards."""

import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.formats.idx import IdxReader, read_idx
from modules.datamodules.formats.image_folder import ImageFolderReader
from modules.datamodules.formats.json_digits import JsonDigitsReader
from modules.datamodules.shard_loader import EvaluationLoader, TrainingLoader
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_writer import write_shards
from tests.datamodules.numbered import settings

IMAGE = FieldSettings("uint8", [1, 2, 2], ["channel", "height", "width"], "level")
LABEL = FieldSettings("int64", [], [], "class number", ["0", "1"])
FIELDS = {"image": IMAGE, "label": LABEL}


def idx(array: np.ndarray, code: int = 8) -> bytes:
    return bytes([0, 0, code, array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.tobytes()


def test_idx_files_are_read_gzipped_or_not(tmp_path: Path) -> None:
    images = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    (tmp_path / "images.gz").write_bytes(gzip.compress(idx(images)))
    (tmp_path / "labels").write_bytes(idx(np.array([1, 0, 1], np.uint8)))
    found = IdxReader({"test": {"image": "images.gz", "label": "labels"}}).samples(tmp_path, FIELDS)["test"]
    samples = found.read(np.array([2, 0]))
    assert (samples["image"] == images[[2, 0], None]).all() and samples["image"].dtype == np.uint8
    assert samples["label"].tolist() == [1, 1] and samples["label"].dtype == np.int64
    assert list(found.keys) == ["0", "1", "2"]
    (tmp_path / "floats").write_bytes(idx(np.array([0.5, -2], ">f4"), 0x0D))
    assert read_idx(tmp_path / "floats").tolist() == [0.5, -2]


WHOLE = idx(np.zeros((3, 2, 2), np.uint8))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no idx file"),
        (b"\0\0\x08", "is no idx file"),
        (WHOLE[:-1], "holds 11 bytes"),
        (WHOLE + b"\0", "holds 13 bytes"),
        (WHOLE[:9], "is no idx file"),
        (b"\0\0\x07\x01" + WHOLE[4:], "is no idx file"),
        (b"\0\0\x08\0", "is no idx file"),
        (b"\0\0\x08\x01\xff\xff\xff\xff", "says shape"),
        (b"\0\0\x08\x02" + b"\x7f\xff\xff\xff" * 2, "says shape"),
    ],
)
def test_an_idx_file_that_lies_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_idx(tmp_path / "x")


def test_a_cut_gzip_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.gz").write_bytes(gzip.compress(WHOLE)[:-9])
    with pytest.raises(UserError, match="can't be read"):
        read_idx(tmp_path / "x.gz")


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "missing"])
def test_a_reader_stays_in_its_source(tmp_path: Path, path: str) -> None:
    (tmp_path / "x").write_bytes(WHOLE)
    (tmp_path / "raw").mkdir()
    with pytest.raises(UserError, match=r"leads out of|is missing"):
        IdxReader({"train": {"image": path}}).samples(tmp_path / "raw", FIELDS)


def test_splits_of_unequal_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "images").write_bytes(WHOLE)
    (tmp_path / "labels").write_bytes(idx(np.array([1, 0], np.uint8)))
    with pytest.raises(UserError, match=r"differ in length: {'image': 3, 'label': 2}"):
        IdxReader({"train": {"image": "images", "label": "labels"}}).samples(tmp_path, FIELDS)


def test_digits_come_back_exactly(tmp_path: Path) -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(64, 1, 2, 2)
    for digit, part in enumerate(np.split(levels, [40])):
        (tmp_path / f"{digit}.json").write_text(
            json.dumps({"data": np.round(part.ravel() / 255, 3).tolist()})
        )
    found = JsonDigitsReader(".", "all").samples(tmp_path, FIELDS)["all"]
    samples = found.read(np.arange(64))
    assert (samples["image"] == levels).all() and samples["label"].tolist() == [0] * 40 + [1] * 24
    assert found.keys[39:41] == ["0/39", "1/0"]


@pytest.mark.parametrize(
    "content", ["{}", "[]", "{", '{"data": [0.1]}', '{"data": [2, 0, 0, 0]}', '{"data": "x"}']
)
def test_digits_of_another_kind_are_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "0.json").write_text(content)
    with pytest.raises(UserError, match=r"0\.json holds"):
        JsonDigitsReader(".", "all").samples(tmp_path, FIELDS)


def image_fields(channels: int, encoding: str) -> dict[str, Any]:
    image = {
        "dtype": "uint8",
        "shape": [channels, 20, 30],
        "axes": ["channel", "height", "width"],
        "units": "level",
    }
    label = {"dtype": "int64", "shape": [], "axes": [], "units": "class number", "classes": ["cat", "dog"]}
    return {"image": image | {"encoding": encoding}, "label": label}


def draw_images(folder: Path, num_images: int = 12) -> None:
    """Images of many sizes and formats: cats are red and dogs are blue, each of another brightness."""
    for number in range(num_images):
        name, colour = (("cat", (10 * number, 0, 0)), ("dog", (0, 0, 10 * number)))[number % 2]
        (folder / name).mkdir(parents=True, exist_ok=True)
        image = Image.new(("RGB", "RGBA", "P")[number % 3], (40 + number, 61 - number), colour)
        image.convert("RGBA" if number % 3 else "RGB").save(folder / name / f"{number:02d}.png")
    (folder / "cat" / "notes.txt").write_text("no image")
    (folder / "source.json").write_text(json.dumps({"name": "raw", "sha256": "", "licence": "CC0"}))


@pytest.mark.parametrize(("encoding", "tolerance"), [("npy", 0), ("png", 0), ("jpg", 3)])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_of_images_alone_in_their_records(
    tmp_path: Path, encoding: str, tolerance: int, channels: int
) -> None:
    draw_images(tmp_path / "raw")
    reader = {"_target_": "modules.datamodules.formats.image_folder.ImageFolderReader"}
    data = settings(
        reader=reader,
        fields=image_fields(channels, encoding),
        splits={"test": {"from": "train", "fraction": 0.3}},
        samples_per_record=1,
    )
    write_shards(data, tmp_path / "raw", tmp_path / "out", max_shard_bytes=8_000)
    found = ShardSet.open(tmp_path / "out", data)
    original = ImageFolderReader().samples(tmp_path / "raw", data.fields)["train"].read(np.arange(12))
    assert original["image"].shape == (12, channels, 20, 30)
    if channels == 3:
        reds = original["image"][original["label"] == 0]
        assert (reds[:, 1:] == 0).all() and sorted(reds[:, 0, 5, 5].tolist()) == [0, 20, 40, 60, 80, 100]
    seen = []
    for name in ("train", "test"):
        split = found.split(name)
        for batch in EvaluationLoader(split, 4):
            for image, label, index in zip(
                batch["image"], batch["label"], batch["index"].tolist(), strict=True
            ):
                seen.append(index)
                assert label == original["label"][index]
                difference = image.numpy().astype(int) - original["image"][index].astype(int)
                assert np.abs(difference).max() <= tolerance
    assert sorted(seen) == list(range(12))
    split = found.split("train")
    loader = TrainingLoader(split, 2, 2, seed=0)
    assert tuple(next(iter(loader))["image"].shape) == (2, 2, channels, 20, 30)


def test_a_class_without_images_or_folder_is_named(tmp_path: Path) -> None:
    draw_images(tmp_path)
    fields = settings(fields=image_fields(3, "npy")).fields
    (tmp_path / "dog").rename(tmp_path / "dgo")
    with pytest.raises(UserError, match="dog is missing"):
        ImageFolderReader().samples(tmp_path, fields)
    (tmp_path / "dog").mkdir()
    with pytest.raises(UserError, match="dog holds no image"):
        ImageFolderReader().samples(tmp_path, fields)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + bytes(50)])
def test_a_broken_image_is_named(tmp_path: Path, content: bytes) -> None:
    draw_images(tmp_path)
    (tmp_path / "cat" / "broken.png").write_bytes(content)
    fields = settings(fields=image_fields(3, "npy")).fields
    with pytest.raises(UserError, match=r"cat/broken\.png is no image that can be read"):
        ImageFolderReader().samples(tmp_path, fields)


@pytest.mark.parametrize(
    "encoded",
    [Image.new("RGB", (31, 20)), Image.new("L", (30, 20)), Image.new("RGB", (9000, 9000))],
    ids=["another width", "another mode", "huge"],
)
def test_an_encoded_image_unlike_the_schema_is_refused(tmp_path: Path, encoded: Image.Image) -> None:
    import io

    from modules.datamodules.encodings import decode_image

    content = io.BytesIO()
    encoded.save(content, "PNG")
    with pytest.raises(ValueError, match=re.escape(str(encoded.size))):
        decode_image(content.getvalue(), (3, 20, 30), "png")
    with pytest.raises(ValueError, match="cannot identify"):
        decode_image(content.getvalue(), (3, 20, 30), "jpg")
    with pytest.raises(ValueError, match=r"truncated|broken|cannot identify"):
        right = io.BytesIO()
        Image.effect_noise((30, 20), 50).convert("RGB").save(right, "PNG")
        decode_image(right.getvalue()[:200], (3, 20, 30), "png")
