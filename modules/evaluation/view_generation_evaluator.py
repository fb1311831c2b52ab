"""Generated views: how like held-out images they are, beside what lies between the nearest views learned.

metrics.json holds, of the test split:

psnr_db                   peak signal-to-noise ratio of images in 0..1, the mean over the images
psnr_of_mean_error_db     that of the squared error's mean over all images, which the worst weigh more in
mask_iou                  intersection over union of the object's pixels, the mean over the images
neighbours_psnr_db, neighbours_mask_iou    the same of the mean of the nearest views of the same class in the
                          train split, of all that are equally near
gain_db                   psnr_db less neighbours_psnr_db: what the net knows that interpolation does not
"""

import math
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional

from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_split import ShardSplit
from modules.evaluation.exhibits import Animation, Exhibit, ImageStrips, Strip
from modules.evaluation.findings import Chart, Findings, Series
from modules.evaluation.image_tiles import tiles
from modules.tasks.view_generation import ViewGeneration, psnr_db

NUM_SHOWN = 8
NUM_MOVING, COLUMNS = 6, 3
NUM_FRAMES, FRAMES_PER_S = 48, 12.0
_EQUALLY_NEAR = 1e-3
"""Of distances between views, which are rounded."""


class ViewGenerationEvaluator:
    """The figures of generated views, the best to the worst of them, turning and changing objects.

    The animations need views of four numbers, the sine and cosine of the azimuth and of the elevation; the
    figures take any.

    Args:
        batch_size: samples at a time.
    """

    metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "psnr_db": "max",
        "psnr_of_mean_error_db": "max",
        "mask_iou": "max",
        "gain_db": "max",
    }
    charts: ClassVar[tuple[str, ...]] = ("psnr",)

    def __init__(self, batch_size: int = 100) -> None:
        self.batch_size = batch_size

    @torch.no_grad()
    def evaluate(self, task: ViewGeneration, data: ShardSet, plan: Plan) -> Findings:
        """
        Raises:
            UserError: the test split holds a class of which no view was learned.
        """
        test, names = data.split("test"), plan.data.fields[task.label].classes or []
        learned = LearnedViews(task, data.split("train"), self.batch_size)
        found: dict[str, list[Tensor]] = {}
        for batch in EvaluationLoader(test, self.batch_size):
            truth, mask = task.truth(batch)
            shown = _generated(task, *task.inputs(batch)), learned.nearest(batch)
            for whose, (image, its_mask) in zip(("", "neighbours_"), shown, strict=True):
                values = (psnr_db(image, truth), (image - truth).square().flatten(1).mean(1))
                for name, value in zip(("psnr_db", "error"), values, strict=True):
                    found.setdefault(whose + name, []).append(value)
                found.setdefault(f"{whose}mask_iou", []).append(intersection_over_union(its_mask, mask))
        figures = {name: torch.cat(values).double() for name, values in found.items()}
        metrics = {name: float(values.mean()) for name, values in figures.items()}
        metrics["psnr_of_mean_error_db"] = -10 * math.log10(max(metrics.pop("error"), 1e-10))
        del metrics["neighbours_error"]
        metrics["gain_db"] = metrics["psnr_db"] - metrics["neighbours_psnr_db"]
        order = figures["psnr_db"].argsort(descending=True, stable=True)
        spread = order[torch.linspace(0, len(order) - 1, NUM_SHOWN).round().long()]
        exhibits: list[Exhibit] = [
            _strips(task, test, learned, names, "views", "Views that were not learned", spread, metrics),
            _strips(task, test, learned, names, "worst", "The worst of them", order[-NUM_SHOWN:], metrics),
        ]
        if task.model.view_size == 4:
            classes = torch.linspace(0, task.model.num_classes - 1, NUM_MOVING).round().long()
            exhibits += [_turning(task, classes, learned.elevation), _changing(task, classes, learned)]
        return Findings(metrics, charts=[_chart(figures)], exhibits=exhibits)


class LearnedViews:
    """The views of the train split, to be found by class and view.

    Args:
        task: says which field is which.
        train: the split.
        batch_size: samples at a time.
    """

    def __init__(self, task: ViewGeneration, train: ShardSplit, batch_size: int) -> None:
        self.task = task
        self.train = train
        batches = list(EvaluationLoader(train, batch_size))
        self.classes = torch.cat([batch[task.label] for batch in batches])
        self.views = torch.cat([batch[task.view] for batch in batches])

    @property
    def elevation(self) -> Float[Tensor, " 2"]:
        """Sine and cosine of the middle one, of views of four numbers."""
        by_height = self.views[:, 2].argsort(stable=True)
        return self.views[by_height[len(by_height) // 2], 2:]

    def nearest(self, batch: dict[str, Tensor]) -> tuple[Tensor, Bool[Tensor, "batch height width"]]:
        """The mean of the nearest images of each sample's class, and the pixels that most of them cover.

        Raises:
            UserError: there is none.
        """
        images, masks = [], []
        for number, view in zip(batch[self.task.label], batch[self.task.view], strict=True):
            same = (self.classes == number).nonzero()[:, 0]
            if not len(same):
                raise UserError(
                    f"the train split holds no view of class {int(number)}, and the test split does",
                    "Hold out views, not classes",
                )
            distance = (self.views[same] - view).norm(dim=1)
            near = same[distance < distance.min() + _EQUALLY_NEAR]
            image, mask = self.task.truth(_read(self.train, near))
            images.append(image.mean(0))
            masks.append(mask.double().mean(0) >= 0.5)
        return torch.stack(images), torch.stack(masks)


def intersection_over_union(
    one: Bool[Tensor, "batch height width"], other: Bool[Tensor, "batch height width"]
) -> Float[Tensor, " batch"]:
    """Of two masks each; 1 where both are empty."""
    common, either = (pixels.flatten(1).sum(1) for pixels in (one & other, one | other))
    return torch.where(either == 0, 1.0, common / either.clamp_min(1))


def _generated(
    task: ViewGeneration, classes: Float[Tensor, "batch num_classes"], view: Float[Tensor, "batch view_size"]
) -> tuple[Float[Tensor, "batch channels height width"], Bool[Tensor, "batch height width"]]:
    image, mask_logits = task.model(classes, view)
    return image.clamp(0, 1), mask_logits > 0


def _read(split: ShardSplit, numbers: Int[Tensor, " samples"]) -> dict[str, Tensor]:
    return {name: torch.from_numpy(values) for name, values in split.read(numbers.numpy()).items()}


def _strips(
    task: ViewGeneration,
    test: ShardSplit,
    learned: LearnedViews,
    names: list[str],
    name: str,
    title: str,
    numbers: Int[Tensor, " samples"],
    metrics: dict[str, float],
) -> ImageStrips:
    """Truth, what is generated, and what lies between the nearest views."""
    batch = _read(test, numbers)
    truth, _ = task.truth(batch)
    image, mask = _generated(task, *task.inputs(batch))
    between, _ = learned.nearest(batch)
    rows = {"truth": truth, "generated": image, "generated mask": mask[:, None].to(image.dtype)}
    rows["mean of the nearest views learned"] = between
    caption = (
        f"From the best to the worst{' of the worst' if name == 'worst' else ''}. Over the whole test split"
        f" {metrics['psnr_db']:.2f} dB are generated, and the mean of the nearest views that were learned has"
        f" {metrics['neighbours_psnr_db']:.2f} dB."
    )
    ratios = psnr_db(image, truth).tolist()
    columns = [f"{names[n]}, {db:.1f} dB" for n, db in zip(batch[task.label].tolist(), ratios, strict=True)]
    strips = [Strip(label, [_pixels(one) for one in images]) for label, images in rows.items()]
    return ImageStrips(name, title, caption, columns, strips)


def _turning(
    task: ViewGeneration, classes: Int[Tensor, " objects"], elevation: Float[Tensor, " 2"]
) -> Animation:
    vectors = functional.one_hot(classes, task.model.num_classes).to(elevation.dtype)
    frames = [_frame(task, vectors, _view(number / NUM_FRAMES, elevation)) for number in range(NUM_FRAMES)]
    caption = f"{NUM_FRAMES} azimuths, {360 / NUM_FRAMES:g} degrees apart, at an elevation that was learned."
    return Animation("turning", "Turned around", caption, frames, FRAMES_PER_S)


def _changing(task: ViewGeneration, classes: Int[Tensor, " objects"], learned: LearnedViews) -> Animation:
    """Each object into the next one and back; the last frame is halfway."""
    one = functional.one_hot(classes, task.model.num_classes).to(learned.views.dtype)
    view = _view(1 / 12, learned.elevation)
    shares = [0.5 + 0.5 * math.sin(2 * math.pi * number / NUM_FRAMES) for number in range(1, NUM_FRAMES + 1)]
    frames = [_frame(task, torch.lerp(one, one.roll(-1, 0), share), view) for share in shares]
    caption = (
        "Each object becomes the next one and comes back: the class vector goes in a straight line between"
        " the two. Only its ends were learned."
    )
    return Animation("changing", "From one object to another", caption, frames, FRAMES_PER_S)


def _view(turn: float, elevation: Float[Tensor, " 2"]) -> Float[Tensor, " 4"]:
    """At an azimuth of so many whole turns."""
    angle = 2 * math.pi * turn
    return torch.cat([elevation.new_tensor([math.sin(angle), math.cos(angle)]), elevation])


def _frame(
    task: ViewGeneration, vectors: Float[Tensor, "objects num_classes"], view: Float[Tensor, " 4"]
) -> np.ndarray:
    return tiles(_generated(task, vectors, view.expand(len(vectors), -1))[0], COLUMNS)


def _pixels(image: Float[Tensor, "channels height width"]) -> np.ndarray:
    levels = (image * 255).round().to(torch.uint8)
    return (levels[0] if len(levels) == 1 else levels.permute(1, 2, 0)).contiguous().numpy()


def _chart(figures: dict[str, Tensor]) -> Chart:
    own, theirs = figures["psnr_db"], figures["neighbours_psnr_db"]
    caption = (
        f"Each image of the test split: {float((own > theirs).double().mean()):.1%} are generated better than"
        " the mean of the nearest views that were learned."
    )
    points = list(zip(theirs.tolist(), own.tolist(), strict=True))
    return Chart(
        name="psnr",
        title="Generated views beside the nearest ones",
        caption=caption,
        kind="points",
        x="mean of the nearest views, dB",
        y="generated, dB",
        series=[Series("images", points)],
    )
