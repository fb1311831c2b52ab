"""Captioned scenes: what is said is what is shown; wordings, held-out pairs, distinct test scenes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings, VocabularySettings
from modules.datamodules.formats.captioned_scenes import CaptionedScenesReader, tinted
from modules.datamodules.scene_grammar import Grammar, Meaning, Thing
from tests.datamodules.scenes_data import PHOTOGRAPHS, SIZE, write_raw_scenes

KEYWORDS: dict[str, Any] = {
    "objects": "objects",
    "groups": {"disc": ["round/[0-9].png"], "square": ["square/*.png"]},
    "colours": {"red": [1.0, 0.0, 0.0], "green": [0.0, 1.0, 0.0], "blue": [0.0, 0.0, 1.0]},
    "held_out": {"disc": ["blue"], "square": ["red"]},
    "unseen": "test_unseen",
    "sizes_px": {"small": [6, 8], "large": [12, 14]},
    "photographs": PHOTOGRAPHS,
    "distinct": ["test", "test_unseen"],
    "num_scenes": {"train": 60, "validation": 5, "test": 40, "test_unseen": 40},
}
TEXT = VocabularySettings("words", 100)
FIELDS = {
    "image": FieldSettings("uint8", [3, SIZE, SIZE], ["channel", "height", "width"], "level"),
    "caption": FieldSettings("int64", ["words"], ["time"], "token", vocabulary=TEXT),
    "references": FieldSettings("int64", ["listed"], ["time"], "token", vocabulary=TEXT),
    "mask": FieldSettings(
        "uint8",
        [SIZE, SIZE],
        ["height", "width"],
        "noun number",
        ["background", "disc", "square"],
        mask_of="image",
    ),
}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_raw_scenes(tmp_path_factory.mktemp("captioned"))


def everything(raw: Path, split: str, **changes: Any) -> dict[str, Any]:
    samples = CaptionedScenesReader(**KEYWORDS | changes).samples(raw, FIELDS)[split]
    return dict(samples.read(np.arange(len(samples.keys))))


def test_a_relation_is_said_from_both_sides() -> None:
    first, second = Thing("small", "red", "disc"), Thing("large", "blue", "square")
    assert Meaning(first, 1, "left of", second).wordings() == [
        "a small red disc left of a large blue square",
        "a small red disc is left of a large blue square",
        "left of a large blue square there is a small red disc",
        "a large blue square right of a small red disc",
        "a large blue square is right of a small red disc",
        "right of a small red disc there is a large blue square",
    ]
    assert Meaning(first, 3).wordings()[1] == "there are three small red discs"


def test_what_is_said_is_what_is_shown(raw: Path) -> None:
    """The pixels under the mask have the colour that is said, as many regions, and lie as is said."""
    found = everything(raw, "train")
    channels = {"red": 0, "green": 1, "blue": 2}
    numbers = {"a": 1, "two": 2, "three": 3, "four": 4}
    num_pairs = 0
    for image, mask, references in zip(found["image"], found["mask"], found["references"], strict=True):
        words = references.split(" | ")[0].split()
        noun = words[3].removesuffix("s")
        region = mask == ("disc", "square").index(noun) + 1
        if len(words) == 4:
            level = image[:, region].mean(axis=1)
            assert level.argmax() == channels[words[2]], references
            assert num_regions(region) == numbers[words[0]], references
            assert set(np.unique(mask)) == {0, ("disc", "square").index(noun) + 1}
            continue
        relation, other = " ".join(words[4:-4]), words[-1]
        num_pairs += 1
        if other != noun:
            places = [
                np.argwhere(mask == ("disc", "square").index(one) + 1).mean(axis=0) for one in (noun, other)
            ]
            axis, sign = {"left of": (1, 1), "right of": (1, -1), "above": (0, 1), "below": (0, -1)}[relation]
            apart = sign * (places[1] - places[0])
            assert apart[axis] > 0 and apart[axis] >= 1.5 * abs(apart[1 - axis]), references
    assert 20 < num_pairs < 50


def test_held_out_pairs_lie_in_one_split_alone(raw: Path) -> None:
    for split in ("train", "test", "test_unseen"):
        texts = everything(raw, split)["references"]
        holds = ["blue disc" in text or "red square" in text for text in texts]
        assert all(holds) if split == "test_unseen" else not any(holds)


def test_no_two_test_scenes_mean_the_same(raw: Path) -> None:
    meanings = [frozenset(text.split(" | ")) for text in everything(raw, "test")["references"]]
    assert len(set(meanings)) == len(meanings)
    with pytest.raises(UserError, match="Ask for fewer"):
        everything(raw, "test", num_scenes=KEYWORDS["num_scenes"] | {"test": 2000})


def test_a_caption_is_one_of_its_references_and_all_come(raw: Path) -> None:
    found = everything(raw, "train")
    places = []
    for caption, references in zip(found["caption"], found["references"], strict=True):
        places.append(references.split(" | ").index(caption))
    assert set(places) == {0, 1, 2, 3, 4, 5}


def test_a_scene_depends_on_its_number_alone(raw: Path) -> None:
    samples = CaptionedScenesReader(**KEYWORDS).samples(raw, FIELDS)["train"]
    whole, some = samples.read(np.arange(60)), samples.read(np.array([41, 3]))
    assert some["caption"] == [whole["caption"][41], whole["caption"][3]]
    assert (some["image"][0] == whole["image"][41]).all()


def test_a_tint_keeps_the_shades() -> None:
    pixels = np.zeros((1, 4, 4), np.uint8)
    pixels[..., 3], pixels[0, :, :3] = 255, np.array([0, 100, 200, 255])[:, None]
    found = tinted(pixels, np.array([0.8, 0.2, 0.1])).astype(int)
    assert (np.diff(found.sum(axis=2)) > 0).all()
    assert (found.argmax(axis=2) == 0).all()


def test_single_things_on_plain_ground(raw: Path) -> None:
    changes = {
        "photographs": None,
        "distinct": (),
        "share_of_pairs": 0.0,
        "most_alike": {"small": 1, "large": 1},
    }
    found = everything(raw, "train", **changes)
    assert all(len(text.split(" | ")[0].split()) == 4 for text in found["references"])
    for image, mask in zip(found["image"], found["mask"], strict=True):
        ground = image[:, mask == 0].astype(float)
        assert np.ptp(np.median(ground, axis=1)) <= 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"held_out": {"fish": ["red"]}}, "held_out has fish"),
        ({"held_out": {"disc": ["red", "green", "blue"]}}, "some but not all"),
        ({"held_out": {}}, "held_out names no pair"),
        ({"colours": {"red": [2.0, 0, 0]}}, "red, green and blue in 0..1"),
        ({"sizes_px": {"small": [3, 4]}}, "Write {small"),
        ({"share_of_pairs": 2}, "no share"),
        ({"most_alike": {"small": 5, "large": 1}}, "of 1 to 4"),
        ({"unseen": "other"}, "names of splits"),
        ({"sizes_px": {"small": [6, 8], "large": [60, 60]}}, "Lower reader.sizes_px"),
        ({"sizes_px": {"small": [6, 8], "large": [30, 30]}}, "Lower reader.sizes_px"),
    ],
)
def test_what_does_not_fit_is_refused(raw: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as refused:
        everything(raw, "train", **changes)
        everything(raw, "test_unseen", **changes)
    assert message in str(refused.value)


def test_other_fields_are_refused(raw: Path) -> None:
    reader = CaptionedScenesReader(**KEYWORDS)
    with pytest.raises(UserError, match="Write image, caption, references and mask"):
        reader.samples(raw, {"image": FIELDS["image"]})
    other = FieldSettings("uint8", [SIZE, SIZE], ["height", "width"], "noun", ["a", "b"], mask_of="image")
    with pytest.raises(UserError, match="in the same order"):
        reader.samples(raw, FIELDS | {"mask": other})


def test_half_of_the_held_out_pairs_come_second() -> None:
    grammar = Grammar(["disc"], ["red", "blue"], {"disc": ["blue"]}, 0.6, {"small": 1, "large": 1})
    rng = np.random.default_rng(0)
    pairs = [one for one in (grammar.sampled(rng, True) for _ in range(400)) if one.second]
    share = np.mean([one.first.colour == "red" for one in pairs])
    assert 0.4 < share < 0.6


def num_regions(mask: np.ndarray) -> int:
    """Connected regions, diagonals included."""
    left, count = {tuple(place) for place in np.argwhere(mask).tolist()}, 0
    while left:
        count += 1
        edge = [left.pop()]
        while edge:
            row, column = edge.pop()
            near = {(row + y, column + x) for y in (-1, 0, 1) for x in (-1, 0, 1)} & left
            left -= near
            edge += near
    return count
