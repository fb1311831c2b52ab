"""Tar files as the `webdataset` library itself writes them."""

import io
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from webdataset.writer import TarWriter

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings, VocabularySettings
from modules.datamodules.formats.web_dataset import WebDatasetReader

IMAGE = FieldSettings("uint8", [3, 4, 6], ["channel", "height", "width"], "level")
WHOLE = FieldSettings("uint8", [3, "height", "width"], ["channel", "height", "width"], "level")
LABEL = FieldSettings("int64", [], [], "class number", ["cat", "dog"])
CAPTION = FieldSettings("int64", ["time"], ["time"], "token", vocabulary=VocabularySettings("words", 50))
VECTOR = FieldSettings("float32", [2], ["feature"], "none")
RANDOM = np.random.default_rng(0)


def image(height: int = 4, width: int = 6) -> np.ndarray:
    return RANDOM.integers(256, size=(height, width, 3), dtype=np.uint8)


def encoded(array: np.ndarray, kind: str = "png") -> bytes:
    written = io.BytesIO()
    Image.fromarray(array).save(written, kind)
    return written.getvalue()


def write(path: Path, samples: list[dict[str, Any]]) -> None:
    """Samples by the library's own writer."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with TarWriter(str(path), encoder=False) as writer:
        for number, sample in enumerate(samples):
            writer.write({"__key__": f"{number:09d}", **sample})


def write_bytes(path: Path, files: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as opened:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            opened.addfile(entry, io.BytesIO(content))


def test_images_texts_and_labels_of_two_splits(tmp_path: Path) -> None:
    images = [image() for _ in range(5)]
    samples = [
        {
            "png": encoded(one),
            "txt": f"a caption {number}".encode(),
            "json": b'{"meta": {"label": %d}}' % (number % 2),
        }
        for number, one in enumerate(images)
    ]
    write(tmp_path / "train" / "00000.tar", samples[:2])
    write(tmp_path / "train" / "00001.tar", samples[2:4])
    write(tmp_path / "val" / "00000.tar", samples[4:])
    reader = WebDatasetReader(
        {"train": "train/*.tar", "validation": "val/*.tar"},
        {"image": "jpg;png", "caption": "txt", "label": "json:meta.label"},
    )
    splits = reader.samples(tmp_path, {"image": IMAGE, "caption": CAPTION, "label": LABEL})
    assert list(splits["train"].keys) == [
        f"train/{shard}.tar/{key:09d}" for shard in ("00000", "00001") for key in (0, 1)
    ]
    found = splits["train"].read(np.array([3, 0]))
    np.testing.assert_array_equal(found["image"], np.stack([images[3], images[0]]).transpose(0, 3, 1, 2))
    assert found["caption"] == ["a caption 3", "a caption 0"]
    assert found["label"].tolist() == [1, 0] and found["label"].dtype == np.int64
    assert splits["validation"].read(np.array([0]))["caption"] == ["a caption 4"]
    assert not splits["train"].notes


def test_whole_images_class_names_arrays_and_numbers(tmp_path: Path) -> None:
    vectors = []
    for vector in ([0.5, -1], [2, 3]):
        written = io.BytesIO()
        np.save(written, np.array(vector, np.float32))
        vectors.append(written.getvalue())
    write(
        tmp_path / "x.tar",
        [
            {"jpeg": encoded(image(3, 5), "jpeg"), "cls": b"dog", "v.npy": vectors[0], "score": b"0.25"},
            {"jpeg": encoded(image(7, 2), "jpeg"), "cls": b"0\n", "v.npy": vectors[1], "score": b"4"},
        ],
    )
    members = {"image": "jpeg", "label": "cls", "vector": "v.npy", "score": "score"}
    fields = {"image": WHOLE, "label": LABEL, "vector": VECTOR}
    fields["score"] = FieldSettings("float32", [], [], "none")
    reader = WebDatasetReader({"train": "*.tar"}, members)
    found = reader.samples(tmp_path, fields)["train"].read(np.arange(2))
    assert [one.shape for one in found["image"]] == [(3, 3, 5), (3, 7, 2)]
    assert (found["label"].tolist(), found["score"].tolist()) == ([1, 0], [0.25, 4.0])
    np.testing.assert_array_equal(found["vector"], np.array([[0.5, -1], [2, 3]], np.float32))


def test_equal_samples_have_one_place_and_what_is_of_no_field_is_said(tmp_path: Path) -> None:
    same = {"png": encoded(image()), "cls": b"cat"}
    write(tmp_path / "x.tar", [same, {**same, "url": b"there"}, {**same, "cls": b"dog"}])
    reader = WebDatasetReader({"train": "*.tar"}, {"image": "png", "label": "cls"})
    samples = reader.samples(tmp_path, {"image": IMAGE, "label": LABEL})["train"]
    assert samples.places[0] == samples.places[1] != samples.places[2]
    assert any(note.startswith("1 file (000000001) left out, .url is of no field") for note in samples.notes)
    assert any("1 of 3 samples hold the same as another" in note for note in samples.notes)


def test_bad_samples_are_named_or_left_out(tmp_path: Path) -> None:
    good = {"png": encoded(image()), "cls": b"cat"}
    write(
        tmp_path / "x.tar",
        [good, {**good, "png": b"no image"}, {"png": good["png"]}, {**good, "cls": b"cow"}],
    )
    fields, members = {"image": IMAGE, "label": LABEL}, {"image": "png", "label": "cls"}
    with pytest.raises(UserError, match="3 files cannot be used") as refused:
        WebDatasetReader({"train": "*.tar"}, members).samples(tmp_path, fields)
    for said in (
        "x.tar: 000000001.png is no image that can be read",
        "000000002 has no member cls for the field 'label': it has png",
        "x.tar: 000000003.cls says 'cow', which is none of fields.label.classes",
    ):
        assert said in str(refused.value)
    reader = WebDatasetReader({"train": "*.tar"}, members, on_bad_file="skip")
    samples = reader.samples(tmp_path, fields)["train"]
    assert list(samples.keys) == ["x.tar/000000000"]
    assert any(note.startswith("3 files") and "cannot be read" in note for note in samples.notes)


@pytest.mark.parametrize(
    ("content", "member", "field", "said"),
    [
        ({"txt": b"\xff\xfe"}, "txt", CAPTION, "is no text in UTF-8"),
        ({"json": b"{"}, "json:caption", CAPTION, "is no JSON"),
        ({"json": b'{"a": 1}'}, "json:a.b", CAPTION, "has no a.b"),
        ({"json": b'{"a": 1}'}, "json:a", CAPTION, "a of .* is no text"),
        (
            {"json": b'{"a": [1, 2.5]}'},
            "json:a",
            FieldSettings("int64", [2], ["x"], "y"),
            "are none of int64",
        ),
        ({"json": b'{"a": [1, NaN]}'}, "json:a", VECTOR, "are none of float32"),
        ({"json": b'{"a": [[1], [2, 3]]}'}, "json:a", VECTOR, "holds no numbers"),
        ({"npy": b"no array"}, "npy", VECTOR, "is no array that can be read"),
        ({"cls": b"300"}, "cls", FieldSettings("uint8", [], [], "level"), "are none of uint8"),
    ],
)
def test_what_a_member_does_not_hold(
    tmp_path: Path, content: dict[str, bytes], member: str, field: FieldSettings, said: str
) -> None:
    write_bytes(tmp_path / "x.tar", {f"0.{ending}": value for ending, value in content.items()})
    with pytest.raises(UserError, match=said):
        WebDatasetReader({"train": "*.tar"}, {"field": member}).samples(tmp_path, {"field": field})


def test_files_that_are_none(tmp_path: Path) -> None:
    reader = WebDatasetReader({"train": "*.tar"}, {"label": "cls"})
    with pytest.raises(UserError, match=r"holds no file \*\.tar"):
        reader.samples(tmp_path, {"label": LABEL})
    (tmp_path / "x.tar").write_bytes(b"\x1f\x8b no tar")
    with pytest.raises(UserError, match=r"x\.tar is no tar file that can be read"):
        reader.samples(tmp_path, {"label": LABEL})
    write_bytes(tmp_path / "x.tar", {"README": b"hello"})
    with pytest.raises(UserError, match=r"x\.tar holds no sample"):
        reader.samples(tmp_path, {"label": LABEL})
    write_bytes(tmp_path / "x.tar", {"0.cls": b"cat", "0.CLS": b"dog"})
    with pytest.raises(UserError, match=r"holds 0\.CLS twice"):
        reader.samples(tmp_path, {"label": LABEL})
    write_bytes(tmp_path / "x.tar", {"README": b"hello", "/0.cls": b"cat", "../1.cls": b"dog"})
    samples = reader.samples(tmp_path, {"label": LABEL})["train"]
    assert samples.read(np.arange(2))["label"].tolist() == [0, 1]
    assert samples.notes == ["1 file (x.tar/README) left out, no file of a sample"]
    (tmp_path / "x.tar").write_bytes((tmp_path / "x.tar").read_bytes()[: 4 * 512 + 100])
    with pytest.raises(UserError, match=r"x\.tar is no tar file that can be read"):
        reader.samples(tmp_path, {"label": LABEL})


def test_settings_that_fit_nothing(tmp_path: Path) -> None:
    write_bytes(tmp_path / "x.tar", {"0.cls": b"cat"})
    with pytest.raises(UserError, match="is in two splits"):
        WebDatasetReader({"train": "*.tar", "test": "x.tar"}, {"label": "cls"}).samples(
            tmp_path, {"label": LABEL}
        )
    with pytest.raises(UserError, match="Name the member of each field"):
        WebDatasetReader({"train": "*.tar"}, {}).samples(tmp_path, {"label": LABEL})
    with pytest.raises(UserError, match=r"fields.vector is float32 \[2\], which no member 'bin' is read as"):
        WebDatasetReader({"train": "*.tar"}, {"vector": "bin"}).samples(tmp_path, {"vector": VECTOR})
