"""Furniture from all around: turned by its catalogue, of one size, and views that are held out."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from modules.configuration.composition.conf_contents import dataset
from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.formats.furniture_views import FurnitureViewReader

MODELS = {"flag": "own/flag/flag.obj", "fallen flag": "own/fallen/flag.obj"}
FIELDS = {
    "image": FieldSettings("uint8", [3, 16, 16], ["channel", "height", "width"], "level"),
    "mask": FieldSettings("uint8", [16, 16], ["height", "width"], "class number", ["background", "object"]),
    "label": FieldSettings("int64", [], [], "class number", list(MODELS)),
    "view": FieldSettings("float32", [4], ["angle"], "-1 to 1"),
}
FLAG = "v 10 0 0\nv 12 0 0\nv 12 4 0\nf 1 2 3\n"
FALLEN = "v 0 0 0\nv 1 0 0\nv 1 0 -2\nf 1 2 3\n"  # upright where z goes to -y: half the size of the other
CATALOGUE = """id=own
id#1=flag
model#1=/own/flag/flag.obj
model#2 = /own/fallen/flag.obj
modelRotation#2 = 1 0 0 0 0 -1 0 1 0
modelRotation#3=1 0 0 0 0 -1 0 1 0
"""


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    (tmp_path / "libraries").mkdir()
    with zipfile.ZipFile(tmp_path / "libraries/own.sh3f", "w") as library:
        library.writestr("PluginFurnitureCatalog.properties", CATALOGUE)
        library.writestr("own/flag/flag.obj", FLAG)
        library.writestr("own/fallen/flag.obj", FALLEN)
        library.writestr("own/broken/flag.obj", "v 0 0\nf 1 1 1\n")
    return tmp_path


def reader(models: dict[str, str] = MODELS, azimuths: int = 12, every: int = 6) -> FurnitureViewReader:
    return FurnitureViewReader("libraries", models, azimuths, [10, 25, 40], every)


def read_all(samples) -> dict[str, np.ndarray]:
    return samples.read(np.arange(len(samples.keys)))


def test_a_view_is_in_one_split_and_lies_between_two_that_are_learned(raw: Path) -> None:
    splits = {name: list(found.keys) for name, found in reader().samples(raw, FIELDS).items()}
    assert {name: len(keys) for name, keys in splits.items()} == {"train": 48, "validation": 12, "test": 12}
    assert len(set().union(*splits.values())) == 72
    assert [key for key in splits["test"] if "fallen" not in key] == [
        f"own/flag/flag.obj/{view}" for view in ("0/10", "180/10", "120/25", "300/25", "60/40", "240/40")
    ]
    for split in ("validation", "test"):
        for key in splits[split]:
            path, azimuth, elevation = key.rsplit("/", 2)
            for other in (int(azimuth) - 30, int(azimuth) + 30):
                assert f"{path}/{other % 360}/{elevation}" in splits["train"]
            for other in {"10", "25", "40"} - {elevation}:
                assert f"{path}/{azimuth}/{other}" in splits["train"]


def test_values_say_the_model_and_the_view(raw: Path) -> None:
    found = reader().samples(raw, FIELDS)["test"]
    samples = read_all(found)
    assert {name: (values.dtype, values.shape) for name, values in samples.items()} == {
        "image": (np.uint8, (12, 3, 16, 16)),
        "mask": (np.uint8, (12, 16, 16)),
        "label": (np.int64, (12,)),
        "view": (np.float32, (12, 4)),
    }
    assert samples["label"].tolist() == [0] * 6 + [1] * 6
    assert found.keys[2] == "own/flag/flag.obj/120/25"
    angles = np.radians([120, 25])
    expected = [np.sin(angles[0]), np.cos(angles[0]), np.sin(angles[1]), np.cos(angles[1])]
    assert samples["view"][2] == pytest.approx(np.array(expected, np.float32), abs=1e-7)


def test_models_are_turned_centred_and_of_one_size(raw: Path) -> None:
    images = [read_all(found)["image"] for found in reader().samples(raw, FIELDS).values()]
    for image in images:
        upright, fallen = np.split(image, 2)
        assert (upright == fallen).all(), "one is the other, lying, half as large and elsewhere"
    assert images[0].min() < 200


@pytest.mark.parametrize(("azimuths", "every"), [(12, 3), (12, 5), (0, 6)])
def test_held_out_views_lie_between_learned_ones_or_the_reader_is_refused(azimuths: int, every: int) -> None:
    with pytest.raises(ValueError, match="held_out_every="):
        reader(azimuths=azimuths, every=every)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"image": FieldSettings("uint8", [1, 16, 16], ["a", "b", "c"], "level")},
            r"fields\.image is uint8 \[1",
        ),
        ({"mask": FieldSettings("bool", [16, 16], ["a", "b"], "")}, r"fields\.mask is bool"),
        ({"view": FieldSettings("float32", [2], ["a"], "")}, r"fields\.view is float32 \[2\]"),
        (
            {"label": FieldSettings("int64", [], [], "", ["flag"])},
            r"label\.classes differ from reader\.models",
        ),
        ({"depth": FIELDS["mask"]}, r"has the fields \['depth'"),
    ],
)
def test_fields_agree(raw: Path, fields: dict[str, FieldSettings], message: str) -> None:
    with pytest.raises(UserError, match=message):
        reader().samples(raw, FIELDS | fields)


@pytest.mark.parametrize(
    ("path", "message"),
    [("own/gone/gone.obj", "no library holds"), ("own/broken/flag.obj", "can't be read")],
)
def test_a_model_that_is_missing_or_broken_is_named(raw: Path, path: str, message: str) -> None:
    label = FieldSettings("int64", [], [], "", ["it"])
    with pytest.raises(UserError, match=message):
        reader({"it": path}).samples(raw, FIELDS | {"label": label})


def test_what_is_no_library_is_refused(raw: Path) -> None:
    (raw / "libraries/own.sh3f").write_bytes(b"no")
    with pytest.raises(UserError, match="is no library of furniture"):
        reader().samples(raw, FIELDS)


def test_the_dataset_names_as_many_classes_as_models() -> None:
    data = dataset("chairs")
    assert data["fields"]["label"]["classes"] == list(data["reader"]["models"])
    assert len(set(data["reader"]["models"].values())) == 95
