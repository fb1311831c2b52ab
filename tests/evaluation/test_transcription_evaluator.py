"""What is said of transcriptions: edits and whole texts counted by hand, and the columns of each label."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from modules.configuration.composition.compose import compose
from modules.configuration.errors import UserError
from modules.datamodules.samples import ArraySamples
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.vocabulary import Vocabulary
from modules.evaluation.evaluator import evaluate
from modules.evaluation.exhibits import Gallery, SoundPlayers, TextTable
from modules.evaluation.transcription_evaluator import TranscriptionEvaluator
from modules.tasks.language_modelling import LanguageModelling
from modules.tasks.task import Task
from modules.tasks.transcription import Transcription
from tests.plans import plan_of
from tests.written_shards import write_samples

WIDTH = 12


class ReadsLevels(nn.Module):
    """Every two columns are a frame; the level of the first pixel is the label."""

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        labels = (images[:, 0, 0, ::2] * 255).round().long()
        frames = torch.full_like(labels[:, 0], labels.shape[1])
        return 20.0 * nn.functional.one_hot(labels, 7), frames


def image(path: list[int]) -> np.ndarray:
    levels = np.repeat(np.array(path + [0] * (WIDTH // 2 - len(path)), np.uint8), 2)
    return np.broadcast_to(levels, (1, 4, WIDTH)).copy()


def test_edits_whole_texts_and_places_are_those_of_the_frames(tmp_path: Path) -> None:
    config = compose(["recipe=number_plates"])
    config["data"]["fields"]["image"]["shape"] = [1, 4, WIDTH]
    config["data"]["fields"]["text"]["vocabulary"] = {"kind": "characters", "size": 7}
    plan = plan_of(config)
    # Labels 4, 5, 6 are a, b, c: each comes more often in training than the next.
    train = ArraySamples(["0"], {"image": [image([0])], "text": ["aaabbc"]})
    paths, texts = [[4, 4, 0, 5], [0, 5, 5, 6], [6]], ["ab", "ba", "cc"]
    test = ArraySamples(["0", "1", "2"], {"image": [image(path) for path in paths], "text": texts})
    plan.data.splits.clear()
    write_samples({"train": train, "validation": train, "test": test}, plan.data, tmp_path / "plates")
    data = ShardSet.open(tmp_path / "plates", plan.data)
    found = TranscriptionEvaluator(batch_size=2).evaluate(Transcription(ReadsLevels()).eval(), data, plan)
    # ab is right; bc should be ba, and c be cc.
    assert found.metrics == pytest.approx(
        {
            "label_error": 2 / 6,
            "sequence_accuracy": 1 / 3,
            "beam_label_error": 2 / 6,
            "beam_sequence_accuracy": 1 / 3,
            "num_labels": 6.0,
        }
    )
    table, gallery = found.exhibits
    assert isinstance(table, TextTable) and isinstance(gallery, Gallery)
    assert sorted(table.rows) == [["ab", "ab", "0"], ["ba", "bc", "1"], ["cc", "c", "1"]]
    boxes = {one.label: [(box.label, box.left, box.right) for box in one.boxes] for one in gallery.images}
    assert boxes == {
        "ab": [("a", 0.0, 4.0), ("b", 6.0, 8.0)],
        "bc (right: ba)": [("b", 2.0, 6.0), ("c", 6.0, 8.0)],
        "c (right: cc)": [("c", 0.0, 2.0)],
    }


class HearsLevels(nn.Module):
    """Every sample is a frame; its tenths are the label."""

    def __init__(self, num_labels: int = 7) -> None:
        super().__init__()
        self.num_labels = num_labels

    def forward(self, sounds: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        return 20.0 * nn.functional.one_hot((sounds * 10).round().long(), self.num_labels), length


def test_sounds_are_played_with_what_was_heard(tmp_path: Path) -> None:
    config = compose(["recipe=spoken_numbers"])
    config["data"]["fields"]["text"]["vocabulary"] = {"kind": "words", "size": 6}
    plan = plan_of(config)
    sounds = [np.array([0.4, 0.0, 0.5], np.float32), np.array([0.5, 0.5], np.float32)]
    train = ArraySamples(["0"], {"sound": sounds[:1], "text": ["one one two"]})
    test = ArraySamples(["0", "1"], {"sound": sounds, "text": ["one two", "one"]})
    write_samples({"train": train, "validation": train, "test": test}, plan.data, tmp_path / "numbers")
    data = ShardSet.open(tmp_path / "numbers", plan.data)
    task = Transcription(HearsLevels(), source="sound").eval()
    found = TranscriptionEvaluator().evaluate(task, data, plan)
    assert found.metrics["label_error"] == pytest.approx(1 / 3)
    players = found.exhibits[1]
    assert isinstance(players, SoundPlayers)
    heard = {one.label: one.samples.tolist() for one in players.sounds}
    assert heard == {"one two": sounds[0].tolist(), "two (right: one)": sounds[1].tolist()}
    assert players.sounds[0].sample_rate_hz == 8000


def test_the_nearest_length_and_a_language_model_by_hand(tmp_path: Path) -> None:
    config = compose(["recipe=spoken_numbers"])
    config["data"]["fields"]["text"]["vocabulary"] = {"kind": "words", "size": 6}
    config["evaluation"][0] |= {"language_model": "somewhere", "language_model_weight": 40.0}
    plan = plan_of(config)

    def sound(length: int) -> np.ndarray:
        return np.full(length, 0.4, np.float32)

    train = ArraySamples(["0", "1"], {"sound": [sound(4), sound(8)], "text": ["one one one", "two"]})
    test = ArraySamples(["0", "1"], {"sound": [sound(5), sound(7)], "text": ["one", "two one"]})
    write_samples({"train": train, "validation": train, "test": test}, plan.data, tmp_path / "numbers")
    data = ShardSet.open(tmp_path / "numbers", plan.data)
    task = Transcription(HearsLevels(6), source="sound").eval()
    asked = []

    def find(reference: str, key: str) -> tuple[Task, Mapping[str, Vocabulary]]:
        asked.append((key, reference))
        return LanguageModelling(SaysTwo()), data.vocabularies

    metrics = evaluate(task, data, plan, find).metrics
    assert asked == [("language_model", "somewhere")]
    # one one one for one, two for two one: 2 + 1 of 3.
    assert metrics["nearest_length_label_error"] == pytest.approx(3 / 3)
    # Heard is one, one; the model likes no text with one in it.
    assert metrics["label_error"] == metrics["beam_label_error"] == pytest.approx(1 / 3)
    assert metrics["language_model_label_error"] == pytest.approx(2 / 3)
    with pytest.raises(UserError, match="is no language model"):
        TranscriptionEvaluator(language_model="runs/x").take(task, data.vocabularies)
    with pytest.raises(ValueError, match="nobody finds language_model=somewhere"):
        evaluate(task, data, plan)


class SaysTwo(nn.Module):
    """Token 5 comes next, whatever was said."""

    def step(self, token: Tensor, state: None) -> tuple[Tensor, None]:
        logits = torch.zeros(len(token), 6)
        logits[:, 5] = 9.0
        return logits, state
