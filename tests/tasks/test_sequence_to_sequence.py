"""Sequence to sequence: the loss by hand, whole sequences, scheduled sampling, and what is written."""

import pytest
import torch
from torch import Tensor, nn

from modules.configuration.errors import UserError
from modules.datamodules.vocabulary import BEGIN, END
from modules.models.recurrent.encoder_decoder import EncoderDecoder
from modules.tasks.sequence_to_sequence import SequenceToSequence

BATCH = {
    "source": torch.tensor([[BEGIN, 4, 5, END], [BEGIN, 4, END, 0]]),
    "source_length": torch.tensor([4, 3]),
    "target": torch.tensor([[BEGIN, 5, 4, 5, END], [BEGIN, 5, END, 0, 0]]),
    "target_length": torch.tensor([5, 3]),
}


class FollowsTable(nn.Module):
    """After a token comes what a table says, whatever is read; keeps what it was given."""

    def __init__(self, following: dict[int, int]) -> None:
        super().__init__()
        self.table = torch.zeros(6, 6)
        for token, after in following.items():
            self.table[token, after] = 20.0
        self.given: list[Tensor] = []

    def forward(self, source: Tensor, length: Tensor, target: Tensor) -> Tensor:
        self.given.append(target)
        return self.table[target]


def test_loss_and_accuracies_count_each_token_once() -> None:
    # After begin comes 5, after it 4, after 4 comes 5: wrong are the first's last 5 -> end, and the second's.
    task = SequenceToSequence(FollowsTable({BEGIN: 5, 5: 4, 4: 5}))
    found = {name: mean.total / mean.count for name, mean in task.validate(BATCH).items()}
    assert float(found["validation/accuracy"]) == pytest.approx(4 / 6)
    assert float(found["validation/sequence_accuracy"]) == 0.0
    loss = task.loss(BATCH)
    assert float(loss.count) == 6
    assert float(loss.total) == pytest.approx(2 * 20.0, abs=1e-3)
    right = SequenceToSequence(FollowsTable({BEGIN: 5, 5: END}))
    counted = right.validate(BATCH)["validation/sequence_accuracy"]
    assert (float(counted.total), float(counted.count)) == (1, 2)


def test_scheduled_sampling_gives_the_models_own_tokens_back() -> None:
    model = FollowsTable({BEGIN: 4, 4: 4, 5: 4})
    SequenceToSequence(model, sampling=1.0).loss(BATCH)
    assert model.given[0].tolist() == BATCH["target"][:, :-1].tolist()
    assert model.given[1][0].tolist() == [BEGIN, 4, 4, 4]
    torch.manual_seed(0)
    some = FollowsTable({BEGIN: 4, 4: 4, 5: 4})
    task = SequenceToSequence(some, sampling=0.5)
    for _ in range(100):
        task.loss(BATCH)
    own = torch.stack(some.given[1::2])[:, 0, 1:]
    assert 0.35 < (own[:, 0] == 4).float().mean() < 0.65


@pytest.mark.parametrize("beam_size", [1, 3])
def test_what_is_written_depends_on_no_target(beam_size: int) -> None:
    torch.manual_seed(0)
    task = SequenceToSequence(EncoderDecoder(6, 6, 4, 8)).eval()
    written = task.written(BATCH, 7, beam_size)
    other = BATCH | {"target": torch.full_like(BATCH["target"], 3)}
    assert torch.equal(task.written(other, 7, beam_size), written) and written.shape[1] <= 7
    # A sample alone is written as beside a longer one.
    alone = {name: values[1:] for name, values in BATCH.items()} | {"source": BATCH["source"][1:, :3]}
    found = task.written(alone, 7, beam_size)[0].tolist()
    assert written[1].tolist()[: len(found)] == found


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"max_tokens": 0}, "task.max_tokens=0 lets no token be written. Give 1 or more"),
        (
            {"sampling": 1.5},
            "task.sampling=1.5 is no share of the target's tokens. Give 0 for the target's own tokens alone,"
            " up to 1 for the model's alone",
        ),
        ({"sampling": float("nan")}, "task.sampling=nan is no share of the target's tokens. Give 0 for"),
        (
            {"label_smoothing": -0.1},
            "task.label_smoothing=-0.1 is no share of probability. Give 0 for none, up to 1; 0.1 is usual",
        ),
    ],
)
def test_what_cannot_be_is_one_line_that_names_it_alone(wrong: dict[str, float], line: str) -> None:
    with pytest.raises(UserError) as caught:
        SequenceToSequence(nn.Identity(), **wrong)  # pyright: ignore
    assert str(caught.value).startswith(line) and not caught.value.others


def test_several_wrong_settings_have_a_line_each() -> None:
    with pytest.raises(UserError) as caught:
        SequenceToSequence(nn.Identity(), max_tokens=-1, sampling=2.0, label_smoothing=7.0)
    lines = [str(one) for one in (caught.value, *caught.value.others)]
    assert [line.partition("=")[0] for line in lines] == [
        "task.max_tokens",
        "task.sampling",
        "task.label_smoothing",
    ]


def test_the_bounds_themselves_are_allowed() -> None:
    for share in (0.0, 1.0):
        SequenceToSequence(nn.Identity(), max_tokens=1, sampling=share, label_smoothing=share)


class Darker(torch.nn.Module):
    """Takes another level off each sample, the same off all its channels."""

    def forward(self, images: Tensor) -> Tensor:
        assert images.ndim == 4
        return images - torch.arange(len(images))[:, None, None, None]


def test_images_are_augmented_in_training_alone_and_the_frames_of_a_clip_alike() -> None:
    task = SequenceToSequence(torch.nn.Identity(), augmentation=Darker())
    images, clips, tokens = torch.ones(2, 3, 4, 4), torch.ones(2, 5, 3, 4, 4), torch.ones(2, 5).long()
    for source, changed in ((images, images[0]), (clips, clips[0])):
        found = task.train().inputs({"source": source})
        assert found.shape == source.shape and torch.equal(found[0], changed)
        assert torch.equal(found[1], changed - 1)
        assert torch.equal(task.eval().inputs({"source": source}), source)
    assert torch.equal(task.train().inputs({"source": tokens}), tokens)
