"""Evaluators of clips, of models that know everything and of some that see one frame alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from modules.configuration.composition.compose import compose
from modules.configuration.plans.run_plan import Plan
from modules.datamodules.motion_grammar import MEET, Actor, Event
from modules.datamodules.samples import ArraySamples
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.vocabulary import END, Vocabulary
from modules.evaluation.captions import references_of
from modules.evaluation.exhibits import Animation, ImageStrips, TextTable
from modules.evaluation.frame_labelling_evaluator import FrameLabellingEvaluator, balanced_accuracy
from modules.evaluation.labelled_steps import LabelledSteps
from modules.evaluation.video_description_evaluator import VideoDescriptionEvaluator, part_scores
from modules.tasks.sequence_labelling import SequenceLabelling
from modules.tasks.sequence_to_sequence import SequenceToSequence
from tests.plans import plan_of
from tests.written_shards import write_samples

SIZE = 8
SENTENCES = {side: Event(f"move {side}", Actor("red", "square")).wordings() for side in ("left", "right")}


def clip(side: str, num_frames: int) -> np.ndarray:
    """A red row of pixels that goes one to that side from the middle, after a frame without change."""
    pixels = np.zeros((num_frames, 3, SIZE, SIZE), np.uint8)
    for number in range(num_frames):
        way = max(number - 1, 0)
        pixels[number, 0, :, SIZE // 2 + (way if side == "right" else -way)] = 250
    return pixels


def made(folder: Path, recipe: str, caption: Any = None) -> tuple[ShardSet, Plan]:
    """Clips of three or four frames, to the left and to the right by turns."""
    config = compose([f"recipe={recipe}"])
    fields = config["data"]["fields"]
    fields["clip"]["shape"] = ["frames", 3, SIZE, SIZE]
    fields["actions"]["classes"] = ["still", "move left", "move right"]
    plan = plan_of(config)
    plan.data.splits.clear()
    samples = {}
    for split, number in {"train": 8, "validation": 4, "test": 6}.items():
        sides = [("left", "right")[n % 2] for n in range(number)]
        lengths = [3 + n // 2 % 2 for n in range(number)]
        columns: dict[str, Any] = {
            "clip": [clip(side, length) for side, length in zip(sides, lengths, strict=True)],
            "actions": [
                np.array([0, 0, *[1 + (side == "right")] * (length - 2)])
                for side, length in zip(sides, lengths, strict=True)
            ],
            "caption": [caption or SENTENCES[side][n % 3] for n, side in enumerate(sides)],
            "references": [caption or " | ".join(SENTENCES[side]) for side in sides],
        }
        samples[split] = ArraySamples([str(n) for n in range(number)], columns)
    for name in ("caption", "references"):
        words = {word for text in samples["train"].arrays[name] for word in text.split()}
        vocabulary = {"kind": "words", "size": 4 + len(words)}
        config["data"]["fields"][name]["vocabulary"] = vocabulary
    plan = plan_of(config)
    plan.data.splits.clear()
    write_samples(samples, plan.data, folder / "data")
    return ShardSet.open(folder / "data", plan.data), plan


def side_of(clips: Tensor, length: Tensor) -> Tensor:
    """0 where the row of pixels went left or stayed, 1 where it went right."""
    columns = clips[:, :, 0, 0].argmax(dim=2)
    last = columns.gather(1, length[:, None] - 1)[:, 0]
    return (last > columns[:, 0]).long()


class Describes(nn.Module):
    """Says where the row of pixels went."""

    def __init__(self, vocabulary: Vocabulary, sentences: list[str]) -> None:
        super().__init__()
        rows = [[*vocabulary.encode(text), END] for text in sentences]
        longest = max(map(len, rows))
        self.sentences = torch.tensor([row + [END] * (longest - len(row)) for row in rows])
        self.size = len(vocabulary)

    def start(self, clips: Tensor, length: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        sentences = self.sentences[side_of(clips, length)]
        return (sentences,), (torch.zeros(len(clips), 1, dtype=torch.int64),)

    def step(self, token: Tensor, state: Any) -> tuple[Tensor, Any]:
        (sentences,), (place,) = state
        following = sentences.gather(1, place.clamp(max=sentences.shape[1] - 1))[:, 0]
        return 20 * nn.functional.one_hot(following, self.size).float(), ((sentences,), (place + 1,))

    def places(self, clips: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        return clips.flatten(2), torch.arange(clips.shape[1]) < length[:, None]


def test_a_model_that_sees_where_things_go(tmp_path: Path) -> None:
    data, plan = made(tmp_path, "video_recurrent")
    model = Describes(data.vocabularies["caption"], [SENTENCES[side][0] for side in ("left", "right")])
    task = SequenceToSequence(model, "clip", "caption", 12).eval()
    found = VideoDescriptionEvaluator(4, 2).evaluate(task, data, plan)
    ones = ("exact", "beam_exact", "verb_accuracy", "object_accuracy", "verb_and_object", "nearest_exact")
    assert [found.metrics[name] for name in ones] == [1.0] * 6
    assert set(found.metrics) <= set(VideoDescriptionEvaluator.metrics)
    # Of one frame it says left, and things do not need more.
    assert found.metrics["first_frame_verb_accuracy"] == found.metrics["first_frame_exact"] == 0.5
    assert found.metrics["first_frame_object_accuracy"] == 1.0
    *clips, actions, examples = found.exhibits
    assert all(isinstance(one, Animation) for one in clips) and len(clips) == 8
    references = references_of("caption", data, "test")
    shown = np.linspace(0, 5, 8).astype(int).tolist()
    lengths = data.split("test").read(np.arange(6))["clip_length"]
    for number, one in zip(shown, clips, strict=True):
        assert isinstance(one, Animation) and len(one.frames) == lengths[number]
        assert one.title == f"“{references[number][0]}”" and "This is right" in one.caption
    assert isinstance(actions, TextTable) and isinstance(examples, TextTable)
    assert actions.rows == [[f"move {side}", "3", "100.0%", "100.0%", ""] for side in SENTENCES]


def test_a_model_that_always_says_left(tmp_path: Path) -> None:
    data, plan = made(tmp_path, "video_recurrent")
    model = Describes(data.vocabularies["caption"], [SENTENCES["left"][1]] * 2)
    task = SequenceToSequence(model, "clip", "caption", 12).eval()
    found = VideoDescriptionEvaluator(4, 2).evaluate(task, data, plan)
    assert found.metrics["verb_accuracy"] == found.metrics["verb_and_object"] == 0.5
    actions = found.exhibits[-2]
    assert isinstance(actions, TextTable)
    assert actions.rows[1] == ["move right", "3", "0.0%", "100.0%", "move left (3)"]


def test_captions_of_no_grammar_have_no_verbs(tmp_path: Path) -> None:
    data, plan = made(tmp_path, "video_recurrent", "waving hand")
    task = SequenceToSequence(
        Describes(data.vocabularies["caption"], ["waving hand"] * 2), "clip", "caption", 8
    )
    found = VideoDescriptionEvaluator(4, 2).evaluate(task.eval(), data, plan)
    assert found.metrics["exact"] == found.metrics["first_frame_exact"] == 1.0
    assert "verb_accuracy" not in found.metrics
    assert [one.name for one in found.exhibits][-2:] == ["clip_7", "examples"]


def test_parts_are_right_in_any_wording() -> None:
    event = Event(MEET, Actor("red", "car"), Actor("blue", "cow"))
    right = [event.wordings()] * 4
    written = [
        "a blue cow and a red car meet",
        "a red car meets a red cow",
        "a red car is moving to the left",
        "a red car and a blue cow jump",
    ]
    assert part_scores("x_", written, right) == {
        "x_verb_accuracy": 0.5,
        "x_object_accuracy": 0.5,
        "x_verb_and_object": 0.25,
    }


class Labels(nn.Module):
    """Says of each frame where the row of pixels went since the one before."""

    def forward(self, clips: Tensor, length: Tensor) -> Tensor:
        columns = clips[:, :, 0, 0].argmax(dim=2)
        change = columns.diff(dim=1, prepend=columns[:, :1]).sign()
        return nn.functional.one_hot(
            change.remainder(3).where(change <= 0, 2).where(change >= 0, 1), 3
        ).float()


def test_frames_are_counted_with_those_around_them_and_alone(tmp_path: Path) -> None:
    """Alone, each is still: 12 of the 21 frames are."""
    data, plan = made(tmp_path, "frame_actions")
    task = SequenceLabelling(Labels(), "clip", "actions").eval()
    found = FrameLabellingEvaluator(4).evaluate(task, data, plan)
    num_frames = sum(3 + n // 2 % 2 for n in range(6))
    assert found.metrics == pytest.approx(
        {
            "accuracy": 1.0,
            "balanced_accuracy": 1.0,
            "sequence_accuracy": 1.0,
            "majority_accuracy": 12 / num_frames,
            "alone_accuracy": 12 / num_frames,
            "alone_balanced_accuracy": 1 / 3,
            "num_steps": num_frames,
        }
    )
    *clips, table = found.exhibits
    names = ["still", "move left", "move right"]
    batch = data.split("test").read(np.arange(6))
    for row, one in enumerate(clips):
        assert isinstance(one, ImageStrips)
        length = int(batch["actions_length"][row])
        assert one.columns == [names[number] for number in batch["actions"][row, :length]]
        assert len(one.strips[0].images) == length
    assert isinstance(table, TextTable) and {row[2] for row in table.rows} == {"100.00%"}


def test_classes_count_alike_however_many_steps_they_have() -> None:
    truth, answer = np.array([0, 0, 0, 2]), np.array([0, 0, 1, 1])
    steps = LabelledSteps(truth, truth, answer, np.zeros(4, int))
    assert balanced_accuracy(steps) == pytest.approx((2 / 3 + 0) / 2)
