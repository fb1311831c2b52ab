"""Multi-label classification: which classes are there."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from modules.tasks.multi_label_classification import MultiLabelClassification
from tests.small_scenes import scene_plan


def test_padding_is_no_class() -> None:
    batch: dict[str, Tensor] = {
        "image": torch.randint(0, 256, (3, 3, 2, 2), dtype=torch.uint8),
        "labels": torch.tensor([[2, 2, 1], [0, 0, 0], [0, 0, 0]]),
        "labels_length": torch.tensor([3, 1, 0]),
    }
    torch.manual_seed(0)
    task = MultiLabelClassification(nn.Sequential(nn.Flatten(), nn.Linear(12, 3)), 3)
    present = task.present(batch)
    assert present.tolist() == [[False, True, True], [True, False, False], [False] * 3]
    expected = functional.binary_cross_entropy(task.logits(batch).sigmoid(), present.float())
    torch.testing.assert_close(task.loss(batch).quotient, expected)
    served = task.served(scene_plan("scene_labels").data, {})
    assert (served.outputs[0].kind, served.outputs[0].classes) == ("values", ("a", "b", "c"))
    torch.testing.assert_close(served.module(task.inputs(batch)), task.logits(batch).sigmoid())
