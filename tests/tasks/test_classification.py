"""Classification: what goes in, what comes out, what is measured."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from modules.tasks.classification import Classification
from tests.tasks.data_of_batch import settings_of


class Half(nn.Module):
    """An augmentation that is easy to see."""

    def forward(self, images: Tensor) -> Tensor:
        return images / 2


def task(**keywords: object) -> Classification:
    torch.manual_seed(0)
    return Classification(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), num_classes=3, **keywords)  # type: ignore[arg-type]


@pytest.fixture
def batch() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (6, 1, 4, 4), dtype=torch.uint8, generator=generator)
    return {"image": image, "label": torch.tensor([0, 1, 2, 0, 1, 2])}


def test_inputs_are_in_0_to_1(batch: dict[str, Tensor]) -> None:
    batch["image"][0, 0, 0, 0], batch["image"][0, 0, 0, 1] = 0, 255
    inputs = task().inputs(batch)
    assert inputs.dtype == torch.float32
    assert (inputs.min(), inputs.max()) == (0.0, 1.0)
    assert torch.equal(inputs, batch["image"].float() / 255)
    assert torch.equal(task().inputs({"image": inputs}), inputs)


def test_truth_values_are_black_and_white() -> None:
    image = torch.tensor([[[[False, True]]]])
    assert task().inputs({"image": image}).tolist() == [[[[0.0, 1.0]]]]


def test_preprocessing_acts_always(batch: dict[str, Tensor]) -> None:
    preprocessed, plain = task(preprocessing=Half()), task()
    for mode in (True, False):
        preprocessed.train(mode)
        assert torch.equal(preprocessed.inputs(batch), plain.inputs(batch) / 2)


def test_loss_is_the_cross_entropy(batch: dict[str, Tensor]) -> None:
    plain = task()
    logits = plain.model(plain.inputs(batch))
    expected = -logits.log_softmax(dim=1)[torch.arange(6), batch["label"]].mean()
    torch.testing.assert_close(plain.loss(batch).quotient, expected)


def test_label_smoothing_mixes_in_the_uniform_distribution(batch: dict[str, Tensor]) -> None:
    smoothed = task(label_smoothing=0.3)
    log_probabilities = smoothed.model(smoothed.inputs(batch)).log_softmax(dim=1)
    target = 0.7 * functional.one_hot(batch["label"], 3) + 0.1
    torch.testing.assert_close(smoothed.loss(batch).quotient, -(target * log_probabilities).sum(dim=1).mean())


def test_augmentation_acts_in_training_only(batch: dict[str, Tensor]) -> None:
    augmented, plain = task(augmentation=Half()), task()
    halved = plain.loss({"image": plain.inputs(batch) / 2, "label": batch["label"]}).quotient
    assert torch.equal(augmented.loss(batch).quotient, halved)
    augmented.eval()
    assert torch.equal(augmented.loss(batch).quotient, plain.loss(batch).quotient)


def test_what_is_served_are_probabilities(batch: dict[str, Tensor]) -> None:
    plain = task()
    served = plain.served(settings_of(batch, ["a", "b", "c"]), {})
    assert (served.inputs[0].kind, served.inputs[0].shape) == ("image", tuple(batch["image"].shape[1:]))
    assert served.outputs[0].classes == ("a", "b", "c")
    probabilities = served.module(*plain.served_inputs(batch))
    assert torch.equal(probabilities, plain.probabilities(batch))
    torch.testing.assert_close(probabilities, plain.model(plain.inputs(batch)).softmax(dim=1))
    assert probabilities.shape == (6, 3)
    torch.testing.assert_close(probabilities.sum(dim=1), torch.ones(6))


def test_only_the_model_is_saved_as_weights() -> None:
    assert set(task(augmentation=Half()).state_dict()) == {"model.1.weight", "model.1.bias"}
