import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from modules.configuration.composition.conf_contents import dataset
from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.domain_randomisation import photographed
from modules.datamodules.formats.traffic_signs import TrafficSignReader

GROUPS = {
    "animals": ["warning--bear-*", "warning--cow"],
    "other warnings": ["warning--*"],
    "stop": ["*--stop*"],
}
PICTURES = {"train": 8, "validation": 3, "test": 4}
FIELDS = {
    "image": FieldSettings("uint8", [3, 40, 40], ["channel", "height", "width"], "level"),
    "label": FieldSettings("int64", [], [], "class number", list(GROUPS)),
}


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A sheet of small images: a colour for each design, and an arrow that is no sign."""
    names = [f"warning--bear-crossing--g{form}" for form in range(1, 4)] + [
        "warning--cow--g1",
        "warning--cow--g2",
    ]
    names += [f"warning--bend--g{form}" for form in range(1, 12)] + [
        f"regulatory--stop--g{form}" for form in (1, 2, 3)
    ]
    names += ["arrow"]
    sheet = Image.new("RGBA", (len(names) * 16, 16))
    places = {}
    for number, name in enumerate(names):
        sheet.paste((255, 10 * number, 255 - 10 * number, 255), (number * 16 + 2, 2, number * 16 + 14, 14))
        places[name] = {"x": number * 16, "y": 0, "width": 16, "height": 16, "pixelRatio": 2}
    folder = tmp_path / "signs/package/sprites"
    folder.mkdir(parents=True)
    sheet.save(folder / "sprites@2x.png")
    (folder / "sprites@2x.json").write_text(json.dumps(places))
    return tmp_path / "signs"


def read_all(samples):
    return samples.read(np.arange(len(samples.keys)))


def designs(samples) -> set[str]:
    return {key.rpartition("/")[0] for key in samples.keys}


def test_no_design_is_in_two_splits_and_every_class_in_all(raw: Path) -> None:
    splits = TrafficSignReader(GROUPS, PICTURES).samples(raw, FIELDS)
    found = [designs(splits[split]) for split in PICTURES]
    assert sum(map(len, found)) == len(set.union(*found)) == 19, "each design once, and the arrow never"
    for split, samples in splits.items():
        labels = read_all(samples)["label"]
        assert np.bincount(labels).tolist() == [PICTURES[split]] * 3
        assert len(set(samples.keys)) == len(samples.keys)
        for key, label in zip(samples.keys, labels, strict=True):
            kind = "stop" if "stop" in key else "other warnings" if "bend" in key else "animals"
            assert list(GROUPS)[label] == kind


def test_an_image_depends_on_seed_and_key_alone(raw: Path) -> None:
    first = TrafficSignReader(GROUPS, PICTURES).samples(raw, FIELDS)["test"]
    images = read_all(first)["image"]
    assert images.shape == (12, 3, 40, 40) and images.dtype == np.uint8
    again = TrafficSignReader(GROUPS, PICTURES).samples(raw, FIELDS)["test"]
    assert (again.read(np.array([7, 2]))["image"] == images[[7, 2]]).all()
    assert len({image.tobytes() for image in images}) == 12
    other = TrafficSignReader(GROUPS, PICTURES, seed=1).samples(raw, FIELDS)["test"]
    assert (read_all(other)["image"] != images).any()


def test_an_image_stays_what_it_was() -> None:
    image = photographed(Image.new("RGBA", (16, 16), (255, 0, 0, 255)), 32, np.random.default_rng(5))
    # Another machine may round a level otherwise.
    assert image.mean(axis=(1, 2)).tolist() == pytest.approx([230.93, 43.91, 44.6], abs=0.05)


def test_the_cut_out_lies_inside_the_image_in_its_own_colour() -> None:
    red = 0.0
    for seed in range(20):
        image = photographed(Image.new("RGBA", (16, 16), (255, 0, 0, 255)), 64, np.random.default_rng(seed))
        middle = image[:, 24:40, 24:40].astype(float).mean(axis=(1, 2))
        red += middle[0] > 2 * middle[1:].max()
    assert red >= 18


@pytest.mark.parametrize(
    ("groups", "fields", "message"),
    [
        (
            GROUPS,
            {"label": ["animals", "stop", "other warnings"]},
            r"label\.classes differ from reader\.groups",
        ),
        (GROUPS | {"stop": ["*--halt*"]}, {}, r"'stop' fits 0 designs, too few for 3 splits"),
        (GROUPS, {"shape": [1, 40, 40]}, r"fields\.image is uint8 \[1, 40, 40\]"),
        (GROUPS, {"shape": [3, 40, 50]}, r"fields\.image is uint8 \[3, 40, 50\]"),
    ],
)
def test_what_does_not_agree_is_said(raw: Path, groups, fields, message) -> None:
    image = FieldSettings("uint8", fields.get("shape", [3, 40, 40]), ["channel", "height", "width"], "level")
    label = FieldSettings("int64", [], [], "class number", fields.get("label", list(GROUPS)))
    with pytest.raises(UserError, match=message):
        TrafficSignReader(groups, PICTURES).samples(raw, {"image": image, "label": label})


@pytest.mark.parametrize("images", [{}, {"train": 0}, {"train": 5, "test": -1}])
def test_a_split_without_images_is_refused(raw: Path, images) -> None:
    with pytest.raises(UserError, match=r"reader\.images_per_class is .* Give each split 1 or more"):
        TrafficSignReader(GROUPS, images).samples(raw, FIELDS)


@pytest.mark.parametrize("content", ["[]", "{", '{"a": 3}', '{"warning--cow--g1": {"x": 0}}'])
def test_a_broken_sheet_is_refused(raw: Path, content: str) -> None:
    (raw / "package/sprites/sprites@2x.json").write_text(content)
    with pytest.raises(UserError, match=r"sprites@2x\.json is no sheet of signs"):
        TrafficSignReader(GROUPS, PICTURES).samples(raw, FIELDS)


def test_the_dataset_names_as_many_classes_as_groups() -> None:
    data = dataset("traffic_signs")
    assert data["fields"]["label"]["classes"] == list(data["reader"]["groups"])
    assert len(data["fields"]["label"]["classes"]) == 12
