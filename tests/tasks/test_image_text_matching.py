"""Joint embedding: both objectives by hand, equal texts keep nobody apart, recalls of the whole split."""

import math

import pytest
import torch
from torch import Tensor, nn

from modules.models.convolutional.resnet import ResNet
from modules.models.multimodal.joint_embedding import JointEmbedding as Model
from modules.tasks.image_text_matching import ImageTextMatching


class Fixed(Model):
    """Vectors that are given."""

    def __init__(self, images: list[list[float]], texts: list[list[float]]) -> None:
        nn.Module.__init__(self)
        self.found = torch.tensor(images), torch.tensor(texts)

    def forward(self, images: Tensor, texts: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        return self.found


def batch(*texts: list[int]) -> dict[str, Tensor]:
    tokens = torch.tensor(texts)
    images = torch.zeros(len(texts), 3, 4, 4, dtype=torch.uint8)
    return {"image": images, "caption": tokens, "caption_length": torch.full((len(texts),), 3)}


IMAGES, TEXTS = [[1.0, 0.0], [0.0, 1.0]], [[0.6, 0.8], [0.0, 1.0]]
"""Cosines: 0.6 and 0 of the first image, 0.8 and 1 of the second."""


def test_ranking_by_hand() -> None:
    task = ImageTextMatching(Fixed(IMAGES, TEXTS), objective="ranking", margin=0.3)
    loss = task.loss(batch([2, 4, 3], [2, 5, 3]))
    # Texts of the first image: 0.3 - 0.6 + 0 < 0; of the second 0.3 - 1 + 0.8 = 0.1.
    # Images of the first text: 0.3 - 0.6 + 0.8 = 0.5; of the second 0.3 - 1 + 0 < 0.
    assert float(loss.total) == pytest.approx(0.6)
    assert float(loss.count) == 2


def test_contrastive_by_hand() -> None:
    task = ImageTextMatching(Fixed(IMAGES, TEXTS), temperature=0.5)
    scores = [[1.2, 0.0], [1.6, 2.0]]

    def share(own: float, other: float) -> float:
        return math.log(math.exp(own) / (math.exp(own) + math.exp(other)))

    wanted = -(share(1.2, 0) + share(2, 1.6) + share(1.2, 1.6) + share(2, 0)) / 2
    assert scores[0][0] == pytest.approx(0.6 / 0.5)
    assert float(task.loss(batch([2, 4, 3], [2, 5, 3])).total) == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize("objective", ["ranking", "contrastive"])
def test_equal_texts_keep_nobody_apart(objective: str) -> None:
    task = ImageTextMatching(Fixed(IMAGES, TEXTS), objective=objective)  # pyright: ignore
    assert float(task.loss(batch([2, 4, 3], [2, 4, 3])).total) == pytest.approx(0, abs=1e-6)


def test_recalls_are_those_of_the_whole_split() -> None:
    task = ImageTextMatching(Fixed(IMAGES, TEXTS))
    task.start_validation()
    task.validate(batch([2, 4, 3], [2, 5, 3]))
    once = task.finish_validation()
    # The first image finds its text; the first text is closer to the second image.
    assert once == {"validation/text_recall_at_1": 1.0, "validation/image_recall_at_1": 0.5}
    task.start_validation()
    for _ in range(2):
        task.validate(batch([2, 4, 3], [2, 5, 3]))
    assert task.finish_validation()["validation/text_recall_at_1"] == 0


def test_what_cannot_be_learned_is_refused() -> None:
    with pytest.raises(ValueError, match="no vectors"):
        ImageTextMatching(nn.Linear(1, 1))
    model = Model((3, 32, 32), ResNet((3, 32, 32), None, 1, (4, 6), stem="large"), 9)  # pyright: ignore
    for changes in ({"margin": 0.0}, {"temperature": -1.0}):
        with pytest.raises(ValueError, match="above 0"):
            ImageTextMatching(model, **changes)  # pyright: ignore
