"""The loss of distillation, against the paper's equations."""

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from modules.configuration.errors import UserError
from modules.tasks.distillation import Distillation


def batch(num_samples: int = 6) -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {
        "image": torch.rand(num_samples, 1, 2, 2),
        "label": torch.randint(0, 3, (num_samples,)),
        "teacher": torch.randn(num_samples, 3).log_softmax(dim=1),
    }


def student(**settings: Any) -> Distillation:
    torch.manual_seed(1)
    return Distillation(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), 3, **settings)


def test_labels_alone_are_classification() -> None:
    task, given = student(label_weight=1.0), batch()
    expected = functional.cross_entropy(task.model(given["image"]), given["label"])
    assert torch.equal(task.loss(given).quotient, expected)


def test_the_gradient_in_the_logits_is_the_papers() -> None:
    """Equation 2: 1/T (softmax(z/T) - softmax(v/T)) for each sample, here times T squared."""
    task, temperature = student(temperature=5.0, label_weight=0.0), 5.0
    logits = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(6, 3, dtype=torch.float64)
    (task.soft_loss(logits, teacher.log_softmax(dim=1)) / len(logits)).backward()
    difference = (logits / temperature).softmax(dim=1) - (teacher / temperature).softmax(dim=1)
    assert logits.grad is not None
    assert torch.allclose(logits.grad, difference * temperature / len(logits))


def test_high_temperature_matches_logits() -> None:
    """Equation 4: at a high temperature, and logits of mean zero, it is their squared difference."""
    task = student(temperature=1e3, label_weight=0.0)
    logits, teacher = torch.randn(2, 6, 3, dtype=torch.float64)
    logits = (logits - logits.mean(dim=1, keepdim=True)).requires_grad_()
    teacher = teacher - teacher.mean(dim=1, keepdim=True)
    (task.soft_loss(logits, teacher) / len(logits)).backward()
    assert logits.grad is not None
    assert torch.allclose(logits.grad, (logits.detach() - teacher) / 3 / len(logits), rtol=1e-2, atol=1e-4)


def test_no_label_is_looked_at_without_their_share() -> None:
    task, given = student(label_weight=0.0), batch()
    loss = task.loss(given).quotient
    given["label"] = (given["label"] + 1) % 3
    assert torch.equal(task.loss(given).quotient, loss)


def test_what_cannot_be() -> None:
    with pytest.raises(ValueError, match="temperature 0 is not above 0"):
        student(temperature=0)
    with pytest.raises(ValueError, match=r"label_weight 2 is not within 0\.\.1"):
        student(label_weight=2)
    given = batch()
    del given["teacher"]
    with pytest.raises(UserError, match=r"has no teacher. Name one: teacher="):
        student().loss(given)
