"""How good images made in one pass are, beside those of an optimisation: Johnson et al. (2016), arXiv
1603.08155, section 4.1 and figure 5.

metrics.json holds, of the middles of the test photographs, with the task's weights, images in 8 bits:

loss                    what was learned: content, style and roughness
content_loss            the first of them
style_loss              the second
content_ratio_other     how many times smaller the content loss is than that of an image that was made of
                        another photograph; 1 = the photographs are ignored
loss_ratio_photograph   how many times smaller the loss is than that of the photograph as it is
loss_ratio_optimised    how many times smaller it is than that of an optimisation that begins with the
                        photograph, over a few photographs; 1 = as good
equal_evaluations       how many evaluations of its losses that optimisation takes to be as good as one pass;
                        if it never is, all of them
speed_ratio             how many times faster one pass is than all of it: medians, measured in turns
"""

import time
from collections.abc import Callable
from statistics import median
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.evaluation.exhibits import ImageStrips, Strip
from modules.evaluation.findings import Findings
from modules.generation.image_optimisation import StyleLosses, stylise
from modules.tasks.feed_forward_style import FeedForwardStyle
from modules.tasks.image_inputs import image_inputs

_BATCH_SIZE = 10
_PASSES = 5
"""Passes that are timed for one optimisation, which takes hundreds of times as long."""
_LARGE_PX = (383, 287)
"""Height and width of an image larger than any that is learned from; both odd."""


Watch = Callable[[int, Tensor, StyleLosses], None]


class FeedForwardStyleEvaluator:
    """Losses of one pass, of the photographs themselves and of an optimisation; seconds; the images.

    Args:
        size_px: sides of the middle of each photograph; the weights of the losses are meant for a size.
        num_optimised: photographs that are optimised as well.
        num_evaluations: of the losses, in an optimisation.

    Raises:
        ValueError: the images would be too small for the network, or none would be optimised.
    """

    metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "loss": "min",
        "content_loss": "min",
        "style_loss": "min",
        "content_ratio_other": "max",
        "loss_ratio_photograph": "max",
        "loss_ratio_optimised": "max",
        "equal_evaluations": "max",
        "speed_ratio": "max",
    }

    def __init__(self, size_px: int = 128, num_optimised: int = 3, num_evaluations: int = 100) -> None:
        if size_px < 16 or min(num_optimised, num_evaluations) < 1:
            raise ValueError(
                f"size_px={size_px} is below 16, or num_optimised={num_optimised} or"
                f" num_evaluations={num_evaluations} below 1"
            )
        self.size_px = size_px
        self.num_optimised = num_optimised
        self.num_evaluations = num_evaluations

    @torch.no_grad()
    def evaluate(self, task: FeedForwardStyle, data: ShardSet, plan: Plan) -> Findings:
        """Figures of all test photographs, and images of some.

        Raises:
            UserError: the photographs are smaller than `size_px`, or there is no painting.
        """
        paintings, test = data.split(task.known_split), data.split("test")
        (known,) = EvaluationLoader(paintings, paintings.num_samples)
        task.know(known)
        one_pass, others, itself, first = [], [], [], torch.empty(0)
        for batch in EvaluationLoader(test, _BATCH_SIZE):
            photographs = self._middles(task.inputs(batch))
            made = _eight_bits(task.model(photographs))
            one_pass.append(task.losses(made, photographs))
            others.append(task.losses(made.roll(1, 0), photographs))
            itself.append(task.losses(photographs, photographs))
            if len(first) < self.num_optimised:
                first = torch.cat([first, photographs])
        loss, content_loss = _mean(one_pass, "total"), _mean(one_pass, "content")
        first = first[: self.num_optimised]
        optimised, courses, seconds, seconds_optimised = self._in_turns(task, first)
        made = _eight_bits(task.model(first))
        reached = task.losses(made, first).total
        of_these = float(reached.mean())
        of_optimised = float(task.losses(_eight_bits(optimised), first).total.mean())
        equal = [_evaluations_until(course, float(one)) for course, one in zip(courses, reached, strict=True)]
        metrics = {
            "loss": loss,
            "content_loss": content_loss,
            "style_loss": _mean(one_pass, "style"),
            "content_ratio_other": _mean(others, "content") / content_loss,
            "loss_ratio_photograph": _mean(itself, "total") / loss,
            "loss_ratio_optimised": of_optimised / of_these,
            "equal_evaluations": sum(equal) / len(equal),
            "speed_ratio": seconds_optimised / seconds,
        }
        beside = ImageStrips(
            name="feed_forward_style",
            title="One pass and an optimisation",
            caption=f"Photographs that training never saw, {self.size_px} pixels to a side. One pass takes"
            f" {seconds:.3f} s, the optimisation with {self.num_evaluations} evaluations of the losses"
            f" {seconds_optimised:.0f} s; their losses are {of_these:.1f} and {of_optimised:.1f}.",
            columns=["photograph", "one pass", "optimised"],
            strips=[
                Strip("", [_pixels(image) for image in row])
                for row in zip(first, made, optimised, strict=True)
            ],
        )
        # An image of the shards, enlarged: strokes keep their size, and become fine beside what is painted.
        large = functional.interpolate(task.inputs(batch)[:1], _LARGE_PX, mode="bicubic").clamp(0, 1)
        painting = image_inputs(task.painting)[0]
        larger = ImageStrips(
            name="feed_forward_style_large",
            title="A larger image, and the painting",
            caption=f"{_LARGE_PX[1]}x{_LARGE_PX[0]} pixels: the net takes photographs of any size.",
            columns=["photograph", "one pass", "painting"],
            strips=[Strip("", [_pixels(image) for image in (large[0], task.model(large)[0], painting)])],
        )
        return Findings(metrics, exhibits=[beside, larger])

    def _middles(self, photographs: Float[Tensor, "batch 3 height width"]) -> Float[Tensor, "batch 3 _ _"]:
        height, width = photographs.shape[-2:]
        if min(height, width) < self.size_px:
            raise UserError(
                f"the test photographs are {width}x{height}, smaller than size_px={self.size_px}",
                "Set size_px of the evaluation lower",
            )
        top, left = (height - self.size_px) // 2, (width - self.size_px) // 2
        return photographs[..., top : top + self.size_px, left : left + self.size_px].contiguous()

    def _in_turns(
        self, task: FeedForwardStyle, photographs: Float[Tensor, "batch 3 height width"]
    ) -> tuple[Float[Tensor, "batch 3 height width"], list[list[float]], float, float]:
        """Optimised images, their loss at each evaluation, and the medians of seconds of a pass and of an
        optimisation."""
        optimised, courses, passes, optimisations = [], [], [], []
        for photograph in photographs:
            course: list[float] = []

            def one_pass(photograph: Tensor = photograph) -> Tensor:
                return task.model(photograph[None])

            def watch(number: int, image: Tensor, losses: StyleLosses, course: list[float] = course) -> None:
                course.append(losses.total.item())

            @torch.enable_grad()
            def optimise(photograph: Tensor = photograph, watch: Watch = watch) -> Tensor:
                return stylise(
                    photograph,
                    task.targets(photograph[None]),
                    task.model.backbone,
                    task.objective,
                    self.num_evaluations,
                    "photograph",
                    watch=watch,
                )

            passes += [_timed(one_pass)[0] for _ in range(_PASSES)]
            seconds, image = _timed(optimise)
            optimisations.append(seconds)
            optimised.append(image)
            courses.append(course)
        return torch.stack(optimised), courses, median(passes), median(optimisations)


def _evaluations_until(course: list[float], loss: float) -> int:
    """The evaluations that it took until a loss was no larger; all, if it never was."""
    return next((number for number, one in enumerate(course, 1) if one <= loss), len(course))


def _timed(what: Callable[[], Tensor]) -> tuple[float, Tensor]:
    begun = time.perf_counter()
    found = what()
    return time.perf_counter() - begun, found


def _mean(losses: list[StyleLosses], name: str) -> float:
    return float(torch.cat([getattr(one, name) for one in losses]).mean())


def _eight_bits(images: Tensor) -> Tensor:
    return (images.clamp(0, 1) * 255).round() / 255


def _pixels(image: Float[Tensor, "3 height width"]) -> ndarray:
    return (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
