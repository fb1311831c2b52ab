"""Sequence labelling: padding counts nowhere, a sequence is right if all of it is."""

import math
from typing import Literal

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.vocabulary import BEGIN, END, PADDING, SPECIAL, UNKNOWN, Vocabulary
from modules.registry import answering
from modules.tasks.sequence_labelling import SequenceLabelling
from tests.datamodules.ragged_data import ragged_settings


class Echo(nn.Module):
    """Says of each token that it is its own label, four to one."""

    def forward(self, tokens: Tensor, length: Tensor) -> Tensor:
        return functional.one_hot(tokens, 4).float() * math.log(4.0)


def batch(labels: list[list[int]]) -> dict[str, Tensor]:
    return {
        "text": torch.tensor([[1, 2, 3], [2, 3, 0]]),
        "text_length": torch.tensor([3, 2]),
        "labels": torch.tensor(labels),
        "labels_length": torch.tensor([3, 2]),
    }


def test_steps_and_sequences_are_counted_without_padding() -> None:
    task = SequenceLabelling(Echo())
    found = task.validate(batch([[1, 2, 1], [2, 3, 1]]))  # a wrong third step; a wrong padding
    assert found["validation/accuracy"].value == pytest.approx(4 / 5)
    assert found["validation/sequence_accuracy"].value == pytest.approx(1 / 2)
    right, wrong = -math.log(4 / 7), -math.log(1 / 7)
    expected = (4 * right + wrong) / 5
    assert found["validation/loss"].value == pytest.approx(expected, abs=1e-6)
    assert task.loss(batch([[1, 2, 1], [2, 3, 1]])).value == pytest.approx(expected, abs=1e-6)


def test_labels_of_another_length_are_one_line() -> None:
    with pytest.raises(UserError, match=r"labels are \[2, 2\], and the model answers \[2, 3\]"):
        SequenceLabelling(Echo()).loss(batch([[1, 2, 1], [2, 3, 1]]) | {"labels": torch.zeros(2, 2).long()})


class Bright(nn.Module):
    """Says of each frame whether it is bright, four to one."""

    def forward(self, clips: Tensor, length: Tensor) -> Tensor:
        bright = (clips.mean(dim=(2, 3, 4)) > 0.5).long()
        return functional.one_hot(bright, 2).float() * math.log(4.0)


def test_frames_of_a_clip_are_steps_and_its_levels_are_in_0_to_1() -> None:
    levels = torch.tensor([[0, 255, 255], [255, 0, 0]], dtype=torch.uint8)
    clips = {
        "clip": levels[:, :, None, None, None].expand(2, 3, 1, 4, 4),
        "clip_length": torch.tensor([3, 2]),
        "actions": torch.tensor([[0, 1, 0], [1, 0, 1]]),
        "actions_length": torch.tensor([3, 2]),
    }
    task = SequenceLabelling(Bright(), "clip", "actions")
    assert task.inputs(clips).max() == 1
    found = task.validate(clips)
    assert found["validation/accuracy"].value == pytest.approx(4 / 5)
    assert found["validation/sequence_accuracy"].value == pytest.approx(1 / 2)
    right, wrong = -math.log(4 / 5), -math.log(1 / 5)
    assert task.loss(clips).value == pytest.approx((4 * right + wrong) / 5, abs=1e-6)


def test_labels_of_a_clip_are_classes() -> None:
    data = ragged_settings()
    axes = ["time", "channel", "height", "width"]
    data.fields["clip"] = FieldSettings("uint8", ["frames", 1, 4, 4], axes, "level")
    data.fields["actions"] = FieldSettings("int64", ["frames"], ["time"], "class", classes=["dark", "bright"])
    served = SequenceLabelling(Bright(), "clip", "actions").served(data, {})
    assert (served.inputs[0].kind, served.inputs[0].shape) == ("clip", ("frames", 1, 4, 4))
    assert (served.outputs[0].shape, served.outputs[0].classes) == (("frames",), ("dark", "bright"))
    vocabulary = Vocabulary("words", (*SPECIAL, "dark"))
    with pytest.raises(UserError, match="Labels of clips are classes"):
        SequenceLabelling(Bright(), "clip", "actions").served(data, {"actions": vocabulary})


class Constant(nn.Module):
    """Says of every step the end token, and next to it the label 5."""

    def forward(self, tokens: Tensor, length: Tensor) -> Tensor:
        return torch.tensor([0.0, 0, 0, 9, 1, 2]).expand(*tokens.shape, 6)


@pytest.mark.parametrize(("kind", "of_unknown"), [("characters", UNKNOWN), ("words", 5)])
def test_an_answer_of_text_is_as_long_as_the_text(
    kind: Literal["characters", "words"], of_unknown: int
) -> None:
    vocabulary = Vocabulary(kind, (*SPECIAL, "e", "é"))
    served = SequenceLabelling(Constant()).served(
        ragged_settings(), {"text": vocabulary, "labels": vocabulary}
    )
    tokens = torch.tensor([[BEGIN, 4, UNKNOWN, 5, END, PADDING]])
    found = served.module(tokens, torch.tensor([5]))
    assert found.tolist() == [[BEGIN, 5, of_unknown, 5, END, PADDING]]


def test_labels_of_classes_are_any_class() -> None:
    data = ragged_settings()
    data.fields["labels"] = FieldSettings("int64", ["time"], ["time"], "class", classes=list("abcdef"))
    served = SequenceLabelling(Constant()).served(data, {"text": Vocabulary("words", (*SPECIAL, "e", "f"))})
    assert served.module(torch.tensor([[BEGIN, 4, END]]), torch.tensor([3])).tolist() == [[3, 3, 3]]
    assert served.outputs[0].classes == tuple("abcdef")


def test_a_letter_that_was_never_seen_stays_as_it_is_typed() -> None:
    text, labels = (
        Vocabulary("characters", (*SPECIAL, "e", "l")),
        Vocabulary("characters", (*SPECIAL, "l", "é")),
    )
    served = SequenceLabelling(Constant()).served(ragged_settings(), {"text": text, "labels": labels})
    typed = ["e€ñ 7", "l"]
    plain = {"inputs": [vars(one) for one in served.inputs], "outputs": [vars(one) for one in served.outputs]}
    given = answering.batch(
        plain["inputs"][0], [answering.text_sample(plain["inputs"][0], one) for one in typed]
    )
    outputs = answering.run(served.module, given)
    assert answering.say(plain, given, outputs, {"text": typed}) == [{"text": "é€ñ 7"}, {"text": "é"}]
    assert answering.say(plain, given, outputs) == [{"text": "é����"}, {"text": "é"}]
