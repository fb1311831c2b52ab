"""Evaluators of scenes, of nets that know everything and of some that do not."""

import pytest
import torch
from torch import nn

from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.evaluation.detection_evaluator import DetectionEvaluator, matches
from modules.evaluation.evaluator import evaluate
from modules.evaluation.masks_as_boxes_evaluator import MasksAsBoxesEvaluator, regions
from modules.evaluation.multi_label_evaluator import MultiLabelEvaluator
from modules.evaluation.segmentation_evaluator import SegmentationEvaluator
from modules.metrics.average_precision import Objects, ScoredObjects
from modules.tasks.detection import Detection
from modules.tasks.multi_label_classification import MultiLabelClassification
from modules.tasks.segmentation import Segmentation
from tests.small_scenes import CLASSES, KnowsBoxes, KnowsMasks, scene_plan, write_scenes

PLAN = scene_plan("fcn_8s")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    return write_scenes(tmp_path_factory.mktemp("data"), PLAN.data)


def test_a_net_that_knows_every_pixel(data: ShardSet) -> None:
    task = Segmentation(KnowsMasks(), 4)
    found = SegmentationEvaluator(5, ["test_unseen"]).evaluate(task, data, PLAN)
    ones = ("mean_iou", "accuracy", "iou_below_16_px", "mean_iou_test_unseen")
    assert [found.metrics[name] for name in ones] == [1.0] * 4
    assert found.metrics["loss"] == pytest.approx(0.0, abs=1e-6)
    masks, misses, table = found.exhibits
    assert (masks.name, misses.name, table.name) == ("masks", "misses", "classes")
    assert [row[0] for row in table.rows] == ["ground", *CLASSES]  # pyright: ignore[reportAttributeAccessIssue]
    assert found.charts[0].series[0].points[0] == (8.0, 1.0)


def test_a_net_that_never_names_one_class(data: ShardSet) -> None:
    task = Segmentation(KnowsMasks(never=2), 4)
    found = SegmentationEvaluator(50).evaluate(task, data, PLAN)
    (batch,) = EvaluationLoader(data.split("test"), 50)
    mask = batch["mask"]
    share = (mask == 2).float().mean().item()
    assert found.metrics["accuracy"] == pytest.approx(1 - share)
    # Its pixels are taken for one of its neighbours in level: class 1 or 3.
    overlaps = [1.0, 0.0]
    answer = task.logits(batch).argmax(1)
    for number in (1, 3):
        hits = ((answer == number) & (mask == number)).sum()
        overlaps.append(float(hits / ((answer == number) | (mask == number)).sum()))
    assert found.metrics["mean_iou"] == pytest.approx(sum(overlaps) / 4)
    assert found.metrics["iou_below_16_px"] < 1


def test_validation_counts_the_whole_split(data: ShardSet) -> None:
    task = Segmentation(KnowsMasks(never=2), 4)
    task.start_validation()
    for batch in EvaluationLoader(data.split("test"), 5):
        task.validate(batch)
    expected = SegmentationEvaluator(50).evaluate(task, data, PLAN).metrics["mean_iou"]
    assert task.finish_validation() == {"validation/mean_iou": pytest.approx(expected)}


def test_a_detector_that_knows_every_box(data: ShardSet) -> None:
    task = Detection(KnowsBoxes(), 3).eval()
    found = DetectionEvaluator(5, ["test_unseen"]).evaluate(task, data, PLAN)
    for name, value in found.metrics.items():
        assert value == pytest.approx(1.0), name
    assert {"average_precision_below_16_px", "mean_average_precision_test_unseen"} <= set(found.metrics)
    assert [one.name for one in found.charts[0].series] == ["overlap 0.50", "overlap 0.75", "overlap 0.90"]
    boxes, _, table = found.exhibits
    assert len(boxes.images) == 16  # pyright: ignore[reportAttributeAccessIssue]
    assert sum(int(row[1]) for row in table.rows) > 12  # pyright: ignore[reportAttributeAccessIssue]
    task.start_validation()
    with torch.no_grad():
        for batch in EvaluationLoader(data.split("test"), 5):
            task.validate(batch)
    assert task.finish_validation() == {"validation/mean_average_precision": pytest.approx(1.0)}


def test_a_detector_whose_boxes_lie_beside_the_objects(data: ShardSet) -> None:
    found = DetectionEvaluator(50).evaluate(Detection(KnowsBoxes(shift_px=3.0), 3).eval(), data, PLAN).metrics
    assert 0 < found["mean_average_precision"] < found["average_precision_50"] < 1


def test_objects_and_the_boxes_that_found_them() -> None:
    torch.manual_seed(0)
    truth = Objects(torch.tensor([[0.0, 0, 10, 10], [20, 20, 30, 30]]).numpy(), torch.tensor([0, 1]).numpy())
    boxes = torch.tensor([[0.0, 0, 10, 11], [0, 0, 10, 10], [20, 20, 30, 30], [20, 20, 30, 29]]).numpy()
    found = ScoredObjects(
        boxes, torch.tensor([0, 0, 0, 1]).numpy(), torch.tensor([0.9, 0.8, 0.7, 0.2]).numpy()
    )
    assert matches((truth, found), 0.5) == ({0}, {0})
    assert matches((truth, found), 0.1) == ({0, 1}, {0, 3})


def test_masks_as_boxes(data: ShardSet) -> None:
    """Rectangles that others cut in two are two regions; all else is found."""
    found = MasksAsBoxesEvaluator(min_pixels=1).evaluate(Segmentation(KnowsMasks(), 4), data, PLAN).metrics
    assert found["labels_mean_average_precision"] == 1.0
    assert 0.8 < found["boxes_average_precision_50"] <= 1.0
    probabilities = torch.zeros(3, 8, 8)
    probabilities[0] = 0.5
    probabilities[1, 1:3, 2:6] = 0.9
    probabilities[1, 3, 6] = 0.6  # touches by a corner
    probabilities[2, 7, 0] = 0.8
    objects = regions(probabilities, 2)
    assert objects.boxes.tolist() == [[2, 1, 7, 4]] and objects.classes.tolist() == [0]
    assert objects.scores[0] == pytest.approx((8 * 0.9 + 0.6) / 9)


class KnowsLabels(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        present = KnowsMasks()(images).softmax(1)[:, 1:].flatten(2).amax(2)
        return self.weight * (present - 0.5) * 20


def test_a_net_that_knows_every_class(data: ShardSet) -> None:
    task = MultiLabelClassification(KnowsLabels(), 3)
    found = evaluate(task, data, scene_plan("scene_labels")).metrics
    assert (found["mean_average_precision"], found["f1"], found["num_samples"]) == (1.0, 1.0, 12)
    task.start_validation()
    for batch in EvaluationLoader(data.split("validation"), 4):
        task.validate(batch)
    assert task.finish_validation() == {"validation/mean_average_precision": 1.0}
    unseen = MultiLabelEvaluator(50, ["test_unseen"]).evaluate(task, data, PLAN).metrics
    assert unseen["mean_average_precision_test_unseen"] == 1.0
