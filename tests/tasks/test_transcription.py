"""Transcription: the loss of a text by hand, errors by edit distance, and a text that does not fit."""

import math

import pytest
import torch
from torch import Tensor, nn

from modules.configuration.errors import UserError
from modules.datamodules.vocabulary import BEGIN, END
from modules.tasks.transcription import BestPathText, Transcription


class Says(nn.Module):
    """Says a path of labels for each image, whatever is on it."""

    def __init__(self, paths: list[list[int]], num_labels: int, sureness: float) -> None:
        super().__init__()
        self.logits = nn.Parameter(sureness * nn.functional.one_hot(torch.tensor(paths), num_labels).float())

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        frames = torch.full_like(images[:, 0, 0, 0], self.logits.shape[1], dtype=torch.int64)
        return self.logits, frames


BATCH = {
    "image": torch.zeros(2, 1, 4, 8, dtype=torch.uint8),
    "text": torch.tensor([[BEGIN, 4, 5, END], [BEGIN, 5, END, 0]]),
    "text_length": torch.tensor([4, 3]),
}


def measured(task: Transcription) -> dict[str, float]:
    return {name: mean.value for name, mean in task.validate(BATCH).items()}


def test_the_loss_is_that_of_all_paths_and_errors_are_edits() -> None:
    even = Transcription(Says([[0, 0, 0], [0, 0, 0]], 6, 0.0))
    # Of 216 paths of three frames five say the labels 4 and 5, and six say 5 alone.
    expected = -(math.log(5 / 216) + math.log(6 / 216)) / 2
    assert even.loss(BATCH).value == pytest.approx(expected, rel=1e-5)
    sure = Transcription(Says([[4, 0, 5], [5, 5, 0]], 6, 30.0))
    assert measured(sure) == pytest.approx(
        {"validation/loss": 0.0, "validation/label_error": 0.0, "validation/sequence_accuracy": 1.0}, abs=1e-4
    )
    wrong = Transcription(Says([[4, 0, 0], [5, 0, 5]], 6, 30.0))
    found = measured(wrong)
    assert found["validation/label_error"] == pytest.approx(2 / 3)
    assert found["validation/sequence_accuracy"] == 0.0
    served = BestPathText(sure.model)(torch.zeros(2, 1, 4, 8))
    assert served.tolist() == [[4, 5], [5, 0]]


def test_a_text_that_its_frames_cannot_hold_is_named() -> None:
    task = Transcription(Says([[0, 0], [0, 0]], 6, 0.0))
    repeated = BATCH | {"text": torch.tensor([[BEGIN, 4, 4, END], [BEGIN, 5, END, 0]])}
    with pytest.raises(UserError, match="a text of 2 labels, where the model says 2 frames"):
        task.loss(repeated)
    task.loss(BATCH)
