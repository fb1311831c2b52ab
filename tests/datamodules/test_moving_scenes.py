"""Moving scenes: what is said is what is seen, frame by frame."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings, VocabularySettings
from modules.datamodules.formats.moving_scenes import CLASSES, MovingScenesReader
from modules.datamodules.motion_grammar import MEET, said
from tests.datamodules.scenes_data import PHOTOGRAPHS, SIZE, write_raw_scenes

KEYWORDS: dict[str, Any] = {
    "objects": "objects",
    "groups": {"disc": ["round/[0-9].png"], "square": ["square/*.png"]},
    "colours": {"red": [1.0, 0.0, 0.0], "green": [0.0, 1.0, 0.0], "blue": [0.0, 0.0, 1.0]},
    "sizes_px": [16, 20],
    "num_frames": [8, 12],
    "photographs": PHOTOGRAPHS,
    "num_clips": {"train": 120, "validation": 3, "test": 4, "test_unseen": 2},
}
TEXT = VocabularySettings("words", 100)
PIXELS = ["time", "channel", "height", "width"]
FIELDS = {
    "clip": FieldSettings("uint8", ["frames", 3, SIZE, SIZE], PIXELS, "level"),
    "actions": FieldSettings("int64", ["frames"], ["time"], "class number", list(CLASSES)),
    "caption": FieldSettings("int64", ["words"], ["time"], "token", vocabulary=TEXT),
    "references": FieldSettings("int64", ["listed"], ["time"], "token", vocabulary=TEXT),
}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_raw_scenes(tmp_path_factory.mktemp("moving"))


@pytest.fixture(scope="module")
def found(raw: Path) -> dict[str, Any]:
    samples = MovingScenesReader(**KEYWORDS).samples(raw, FIELDS)["train"]
    return dict(samples.read(np.arange(120)))


def test_clips_are_of_the_frames_that_their_labels_count(found: dict[str, Any]) -> None:
    lengths = {len(clip) for clip in found["clip"]}
    assert lengths == {8, 9, 10, 11, 12}
    for clip, actions in zip(found["clip"], found["actions"], strict=True):
        assert clip.dtype == np.uint8 and clip.shape == (len(actions), 3, SIZE, SIZE)
        assert actions.dtype == np.int64


def test_the_classes_of_the_frames_are_the_action_that_is_said(found: dict[str, Any]) -> None:
    for caption, references, actions in zip(
        found["caption"], found["references"], found["actions"], strict=True
    ):
        wordings = references.split(" | ")
        assert caption in wordings and len(wordings) in (3, 6)
        (number,) = set(actions.tolist()) - {0}
        assert CLASSES[number] == said(caption).action
        assert len({said(text) for text in wordings}) == 1


def test_frames_change_where_they_are_said_to(found: dict[str, Any]) -> None:
    """Beyond the noise, which is in all frames alike."""
    for clip, actions in zip(found["clip"], found["actions"], strict=True):
        changes = np.abs(np.diff(clip.astype(int), axis=0)).mean(axis=(1, 2, 3))
        moving = actions[1:] > 0
        assert changes[moving].mean() > changes[~moving].mean()


def test_a_thing_has_the_colour_that_is_said(found: dict[str, Any]) -> None:
    """Of what changes, that is above the photograph's mean most."""
    channels, num_right, num_all = {"red": 0, "green": 1, "blue": 2}, 0, 0
    for clip, caption in zip(found["clip"], found["caption"], strict=True):
        verb, things = said(caption)
        if verb == MEET or not (verb or "").startswith("move"):
            continue
        changed = np.abs(clip[0].astype(int) - clip[-1]).sum(axis=0) > 200
        first = clip[0].astype(int) - clip[-1]
        level = np.abs(first[:, changed]).mean(axis=1)
        num_all += 1
        num_right += int((clip[0][:, changed].mean(axis=1)).argmax() == channels[things[0][0]]) or int(
            level.argmax() == channels[things[0][0]]
        )
    assert num_all > 20 and num_right >= 0.7 * num_all


def test_a_clip_depends_on_its_number_alone(raw: Path, found: dict[str, Any]) -> None:
    some = MovingScenesReader(**KEYWORDS).samples(raw, FIELDS)["train"].read(np.array([41, 3]))
    assert some["caption"] == [found["caption"][41], found["caption"][3]]
    assert (some["clip"][0] == found["clip"][41]).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_frames": [3, 8]}, "fewest and most, of 7 or more"),
        ({"num_frames": [9, 8]}, "fewest and most"),
        ({"sizes_px": [8]}, "smallest and largest"),
        ({"sizes_px": [20, 40]}, "Lower reader.sizes_px"),
        ({"colours": {"red": [2.0, 0, 0]}}, "red, green and blue in 0..1"),
        ({"share_of_meetings": -1}, "no share"),
        ({"photographs": {"train": ["*"]}}, "Give each split photographs"),
        ({"groups": {"disc": ["fish/*"]}}, "fits no file"),
    ],
)
def test_what_does_not_fit_is_one_line(raw: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        MovingScenesReader(**KEYWORDS | changes).samples(raw, FIELDS)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("field", "settings", "message"),
    [
        ("clip", FieldSettings("uint8", ["frames", 1, SIZE, SIZE], PIXELS, "level"), "in colour"),
        ("actions", FieldSettings("int64", ["frames"], ["time"], "class", ["still"]), "a class for each"),
        ("mask", FieldSettings("uint8", [SIZE], ["height"], "class"), "Write clip, actions"),
    ],
)
def test_other_fields_are_one_line(raw: Path, field: str, settings: FieldSettings, message: str) -> None:
    with pytest.raises(UserError, match=message):
        MovingScenesReader(**KEYWORDS).samples(raw, FIELDS | {field: settings})
