"""Which designs and photographs a split has, what a scene depends on, and what is refused."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modules.configuration.composition.conf_contents import dataset
from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.formats.scenes import ScenesReader
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_writer import write_shards
from tests.datamodules.numbered import settings
from tests.datamodules.scenes_data import (
    GROUPS,
    NUM_SCENES,
    PHOTOGRAPHS,
    SIZE,
    scene_fields,
    write_raw_scenes,
)

KEYWORDS: dict[str, Any] = {
    "objects": "objects",
    "groups": GROUPS,
    "photographs": PHOTOGRAPHS,
    "num_scenes": NUM_SCENES,
    "unseen": "test_unseen",
    "held_out": 0.34,
    "sizes_px": [10, 40],
    "num_objects": [1, 3],
}


def made(**changes: Any) -> ScenesReader:
    return ScenesReader(**KEYWORDS | changes)


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write_raw_scenes(tmp_path / "scenes")


def test_held_out_designs_are_in_one_split_alone(raw: Path) -> None:
    seen, unseen = made()._designs(raw)
    assert [len(designs) for designs in unseen] == [2, 1]
    # `round/box.png` fits the first class already.
    assert [len(designs) for designs in seen] == [5, 3]

    def colours(designs):
        return {design.getpixel((10, 6)) for members in designs for design in members}

    assert not colours(seen) & colours(unseen) and len(colours(seen) | colours(unseen)) == 11


def test_a_scene_depends_on_seed_split_and_number_alone(raw: Path) -> None:
    first = made().samples(raw, scene_fields())
    assert {split: len(samples.keys) for split, samples in first.items()} == NUM_SCENES
    every = first["test"].read(np.arange(5))
    assert every["image"].shape == (5, 3, SIZE, SIZE) and every["mask"].shape == (5, SIZE, SIZE)
    assert len({image.tobytes() for image in every["image"]}) == 5
    more = made(num_scenes=NUM_SCENES | {"test": 50})
    again = more.samples(raw, scene_fields())["test"].read(np.array([3, 1]))
    for place, number in enumerate((3, 1)):
        for name in every:
            assert np.array_equal(again[name][place], every[name][number])
    for other in (
        made(seed=1).samples(raw, scene_fields())["test"],
        first["train"],
        first["test_unseen"],
    ):
        assert (other.read(np.arange(5))["image"] != every["image"]).any(axis=(1, 2, 3)).all()


def test_scenes_are_sharded_with_what_each_holds(raw: Path, tmp_path: Path) -> None:
    (raw / "source.json").write_text(json.dumps({"name": "raw", "sha256": "0" * 64, "licence": "CC0"}))
    reader = KEYWORDS | {"_target_": "modules.datamodules.formats.scenes.ScenesReader"}
    fields = {name: dataclasses.asdict(field) for name, field in scene_fields().items()}
    data = settings(fields=fields, reader=reader, splits={}, typical_sizes={"boxes": 2})
    write_shards(data, raw, tmp_path / "shards")
    split = ShardSet.open(tmp_path / "shards", data).split("train")
    read = split.read(np.arange(12))
    straight = made().samples(raw, scene_fields())["train"].read(np.array(read["index"]))
    assert np.array_equal(read["mask"], straight["mask"])
    assert np.array_equal(read["image"], straight["image"])


def field(name: str, **changes: Any) -> dict[str, FieldSettings]:
    return scene_fields(**{name: dataclasses.replace(scene_fields()[name], **changes)})


GREY = field("image", shape=[1, SIZE, SIZE])


@pytest.mark.parametrize(
    ("changes", "fields", "message"),
    [
        ({}, GREY, rf"fields\.image is uint8 \[1, {SIZE}, {SIZE}\].*in colour"),
        ({}, field("mask", shape=[SIZE, 8]), rf"fields\.mask is uint8 \[{SIZE}, 8\]"),
        ({}, field("mask", mask_of=None), r"fields\.mask\.mask_of is None.*Write image"),
        ({}, field("labels", shape=["objects"]), r"fields\.labels is int64 \['objects'\]"),
        ({}, field("labels", classes=["square", "disc"]), r"fields\.labels\.classes differ from"),
        ({}, field("mask", classes=list(GROUPS)), r"fields\.mask\.classes differ.*Name background, then"),
        ({"groups": {"disc": ["round/*.png"], "square": ["cube/*.png"]}}, None,
         r"reader\.groups\.square: 'cube/\*\.png' fits no file"),
        ({"groups": {"disc": ["round/*.png"], "square": ["*/box.png"]}}, None,
         "'square' has too few designs: 0, of which 1 would be held out"),
        ({"groups": {"disc": ["round/*.png"], "square": ["square/0.png"]}}, None,
         "'square' has too few designs: 1, of which 1 would be held out"),
        ({"objects": "stamps"}, None, "stamps is missing"),
        ({"photographs": PHOTOGRAPHS | {"train": ["photographs/z*"]}}, None,
         r"reader\.photographs\.train: 'photographs/z\*' fits no file"),
        ({"photographs": PHOTOGRAPHS | {"train": ["photographs/*.png"]}}, None,
         r"photographs/b\.png is a photograph of both 'train' and 'validation'"),
        ({"photographs": {"train": ["photographs/a1.png"]}}, None, r"reader\.photographs names \['train'\]"),
        ({"photographs": PHOTOGRAPHS | {"train": ["objects/round/box.png"]}}, None, r"box\.png is grey"),
        ({"num_scenes": NUM_SCENES | {"test": 0}}, None, r"reader\.num_scenes is .* each split 1 or more"),
        ({"unseen": "unseen"}, None, r"reader\.unseen is 'unseen', no split"),
        ({"sizes_px": [10, 49]}, None, r"reader\.sizes_px is \[10, 49\].* 1 to 48"),
        ({"sizes_px": [10]}, None, r"reader\.sizes_px is \[10\]"),
        ({"num_objects": [3, 1]}, None, r"reader\.num_objects is \[3, 1\]"),
    ],
)  # fmt: skip
def test_what_does_not_agree_is_said(raw: Path, changes, fields, message) -> None:
    with pytest.raises(UserError, match=message):
        made(**changes).samples(raw, fields or scene_fields())


def test_an_empty_scene_is_refused_where_it_is_not_asked_for(raw: Path) -> None:
    samples = made(sizes_px=[1, 2]).samples(raw, scene_fields())["train"]
    with pytest.raises(UserError, match="the scene train/3 is empty: no object is seen well enough"):
        samples.read(np.array([3]))
    asked = made(sizes_px=[1, 2], num_objects=[0, 2])
    assert not asked.samples(raw, scene_fields())["train"].read(np.array([3]))["mask"].any()


def test_the_dataset_names_classes_as_its_groups() -> None:
    data = dataset("scenes")
    groups = list(data["reader"]["groups"])
    assert data["fields"]["labels"]["classes"] == groups and len(groups) == 20
    assert data["fields"]["mask"]["classes"] == ["background", *groups]
    photographs = data["reader"]["photographs"]
    assert photographs["test"] == photographs["test_unseen"]
    assert sum(len(photographs[split]) for split in ("train", "validation", "test")) == 38
