"""Labels of frames: how many are right, and what each frame tells without those around it.

metrics.json holds, of the frames of the test split:

accuracy                 share whose label is right
balanced_accuracy        the mean of that share over the classes
sequence_accuracy        share of the clips whose frames all are
majority_accuracy        share of the class that most frames of the training split have
alone_accuracy           of the same model, where each frame is a clip of its own
alone_balanced_accuracy  the mean over the classes likewise
"""

from collections.abc import Callable
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from modules.bricks.padding import kept
from modules.configuration.plans.run_plan import Plan
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.evaluation.classification_evaluator import classes_of
from modules.evaluation.exhibits import ImageStrips, Strip
from modules.evaluation.findings import Findings
from modules.evaluation.image_tiles import pixels
from modules.evaluation.labelled_steps import LabelledSteps
from modules.evaluation.sequence_labelling_evaluator import accuracy_by_label
from modules.tasks.sequence_labelling import SequenceLabelling

_NUM_SHOWN = 6


class FrameLabellingEvaluator:
    """Labels the frames of the test split's clips as what is served does.

    Args:
        batch_size: clips at a time.
    """

    metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "accuracy": "max",
        "balanced_accuracy": "max",
        "sequence_accuracy": "max",
        "majority_accuracy": "max",
        "alone_accuracy": "max",
        "alone_balanced_accuracy": "max",
    }

    def __init__(self, batch_size: int = 100) -> None:
        self.batch_size = batch_size

    def evaluate(self, task: SequenceLabelling, data: ShardSet, plan: Plan) -> Findings:
        """Accuracies beside those of frames alone, clips with the label of each frame, and a table of labels.

        Raises:
            UserError: the labels are no classes, or the split is empty.
        """
        names = classes_of(plan.data.fields, task.labels)
        module = task.served(plan.data, data.vocabularies).module
        steps = labelled_frames(task, data, module, self.batch_size)
        alone = labelled_frames(task, data, _alone(module), self.batch_size)
        wrong_of_clip = np.bincount(steps.sequence, steps.wrong, data.split("test").num_samples)
        metrics = {
            "accuracy": 1 - steps.wrong.mean(),
            "balanced_accuracy": balanced_accuracy(steps),
            "sequence_accuracy": (wrong_of_clip == 0).mean(),
            "majority_accuracy": (steps.truth == _most_frequent(task, data, len(names))).mean(),
            "alone_accuracy": 1 - alone.wrong.mean(),
            "alone_balanced_accuracy": balanced_accuracy(alone),
            "num_steps": len(steps.truth),
        }
        exhibits = [*_clips(task, data, steps, names), accuracy_by_label(steps, names)]
        return Findings({name: float(value) for name, value in metrics.items()}, exhibits=exhibits)


def labelled_frames(
    task: SequenceLabelling, data: ShardSet, answers: Callable[[Tensor, Tensor], Tensor], batch_size: int
) -> LabelledSteps:
    """The frames of the test split that are no padding; what is given is a frame's number in its clip.

    Args:
        task: whose fields are read.
        data: with the split.
        answers: from clips and their lengths to label numbers [batch, frames].
        batch_size: clips at a time.
    """
    parts: list[tuple[np.ndarray, ...]] = []
    first = 0
    with torch.inference_mode():
        for batch in EvaluationLoader(data.split("test"), batch_size):
            clips, length = task.served_inputs(batch)
            keep = kept(length, clips)
            place = torch.arange(keep.shape[1]).expand_as(keep)
            sequence = first + torch.arange(len(keep))[:, None].expand_as(keep)
            found = (place, batch[task.labels], answers(clips, length), sequence)
            parts.append(tuple(values[keep].numpy() for values in found))
            first += len(keep)
    return LabelledSteps(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def balanced_accuracy(steps: LabelledSteps) -> float:
    """The mean over the classes that come of the share of their steps that is right."""
    counts, wrong = np.bincount(steps.truth), np.bincount(steps.truth, steps.wrong)
    return float((1 - wrong[counts > 0] / counts[counts > 0]).mean())


def _alone(module: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Each frame as a clip of its own."""

    def answers(clips: Tensor, length: Tensor) -> Tensor:
        frames = clips.flatten(0, 1)[:, None]
        return module(frames, torch.ones(len(frames), dtype=length.dtype)).view(clips.shape[:2])

    return answers


def _most_frequent(task: SequenceLabelling, data: ShardSet, num_classes: int) -> int:
    counts = np.zeros(num_classes, int)
    split = data.split("train")
    for first in range(0, split.num_samples, 500):
        batch = split.read(np.arange(first, min(first + 500, split.num_samples)))
        keep = np.arange(batch[task.labels].shape[1]) < batch[f"{task.labels}_length"][:, None]
        counts += np.bincount(batch[task.labels][keep], minlength=num_classes)
    return int(counts.argmax())


def _clips(
    task: SequenceLabelling, data: ShardSet, steps: LabelledSteps, names: list[str]
) -> list[ImageStrips]:
    """Clips spread over the split, with the answer above each frame."""
    split = data.split("test")
    shown: list[ImageStrips] = []
    for number in np.linspace(0, split.num_samples - 1, _NUM_SHOWN).astype(int).tolist():
        batch = {name: torch.from_numpy(some) for name, some in split.read(np.array([number])).items()}
        one = steps.of(number)
        columns = [
            names[answer] if answer == truth else f"{names[answer]} ({names[truth]})"
            for answer, truth in zip(one.answer.tolist(), one.truth.tolist(), strict=True)
        ]
        frames = [pixels(frame) for frame in task.inputs(batch)[0]]
        caption = "The answer above each frame; in brackets what is right, where the answer is not."
        title = f"Test clip {number}"
        shown.append(ImageStrips(f"clip_{len(shown)}", title, caption, columns, [Strip("", frames)]))
    return shown
