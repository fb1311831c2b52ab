"""How like a painting an image has become: Gatys, Ecker & Bethge (2015), arXiv 1508.06576.

metrics.json holds, of the image as it is looked at (in 0..1, 8 bits), with the task's weights:

style_loss                    equation 5
content_loss                  equation 1
style_loss_ratio              how many times smaller the style loss is than that of white noise, where the
                              optimisation began
style_loss_ratio_photograph   how many times smaller than that of the photograph
"""

from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor
from torch.nn import functional

from modules.configuration.plans.run_plan import Plan
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.evaluation.exhibits import ImageStrips, Strip
from modules.evaluation.findings import Chart, Findings, Series
from modules.generation.image_optimisation import StyleLosses, style_targets, stylise
from modules.models.convolutional.stylised_image import white_noise
from modules.tasks.image_inputs import image_inputs
from modules.tasks.style_transfer import StyleTransfer

_SHOWN_AT = (0, 0.1, 0.25, 0.5)
"""Shares of the evaluations at which the course shows the image, before the last."""


class StyleTransferEvaluator:
    """The image's losses beside those of noise and of the photograph; the three images; the course.

    Training keeps the last image alone. The course is shown by a second optimisation, from other noise, of
    smaller images, which costs a fraction.

    Args:
        course_px: the longer side of its images.
        course_evaluations: of the losses, in the course.

    Raises:
        ValueError: the image would be too small for the network, or would not move.
    """

    metrics: ClassVar[dict[str, Literal["max", "min"]]] = {
        "style_loss": "min",
        "content_loss": "min",
        "style_loss_ratio": "max",
        "style_loss_ratio_photograph": "max",
    }
    charts: ClassVar[tuple[str, ...]] = ("style_transfer_losses",)

    def __init__(self, course_px: int = 128, course_evaluations: int = 60) -> None:
        if course_px < 16 or course_evaluations < 1:
            raise ValueError(
                f"course_px={course_px} is below 16, or course_evaluations={course_evaluations} below 1"
            )
        self.course_px = course_px
        self.course_evaluations = course_evaluations

    def evaluate(self, task: StyleTransfer, data: ShardSet, plan: Plan) -> Findings:
        """Figures of all pairs, and images of the first."""
        split = data.split("test")
        (batch,) = EvaluationLoader(split, split.num_samples)
        content, style = task.inputs(batch), image_inputs(batch["style"])
        generator = torch.Generator().manual_seed(plan.seed + 1)
        result = (task.model().detach() * 255).round() / 255
        with torch.no_grad():
            made = task.losses(batch, result)
            noise = task.losses(batch, white_noise(result.shape, generator).sigmoid())
            photograph = task.losses(batch, content[0])
        style_loss = float(made.style.mean())
        metrics = {
            "style_loss": style_loss,
            "content_loss": float(made.content.mean()),
            "style_loss_ratio": float(noise.style.mean()) / style_loss,
            "style_loss_ratio_photograph": float(photograph.style.mean()) / style_loss,
        }
        images = ImageStrips(
            name="style_transfer",
            title="A photograph in the manner of a painting",
            caption=f"The style loss is {metrics['style_loss_ratio']:.0f} times smaller than that of white"
            f" noise, and {metrics['style_loss_ratio_photograph']:.0f} times smaller than the photograph's.",
            columns=["content", "style", "result"],
            strips=[Strip("", [_pixels(one) for one in (content[0], style[0], result)])],
        )
        course, chart = self._course(task, content[0], style[0], generator)
        return Findings(metrics, charts=[chart], exhibits=[images, course])

    def _course(
        self,
        task: StyleTransfer,
        content: Float[Tensor, "3 height width"],
        style: Float[Tensor, "3 style_height style_width"],
        generator: torch.Generator,
    ) -> tuple[ImageStrips, Chart]:
        content, style = (_smaller(one, self.course_px) for one in (content, style))
        steps = sorted({int(share * self.course_evaluations) for share in _SHOWN_AT})
        shown: dict[int, ndarray] = {}
        losses: dict[str, list[tuple[float, float]]] = {"content": [], "style": []}

        def watch(step: int, image: Tensor, found: StyleLosses) -> None:
            if step in steps:
                shown[step] = _pixels(image)
            losses["content"].append((float(step), found.content.item()))
            losses["style"].append((float(step), found.style.item()))

        last = stylise(
            content,
            style_targets(task.model.backbone, content[None], style[None], task.objective),
            task.model.backbone,
            task.objective,
            self.course_evaluations,
            "noise",
            generator,
            watch,
        )
        caption = (
            f"Another optimisation of the same pair, of at most {self.course_px} pixels to a side, from other"
            f" noise: {len(losses['style'])} evaluations of the losses by L-BFGS."
        )
        strips = ImageStrips(
            name="style_transfer_course",
            title="How noise becomes the image",
            caption=caption,
            columns=[*(f"evaluation {step}" for step in shown), "the last"],
            strips=[Strip("", [*shown.values(), _pixels(last)])],
        )
        chart = Chart(
            name="style_transfer_losses",
            title="Losses in the course of the optimisation",
            caption=f"{caption} Each loss with its weight.",
            kind="lines",
            x="evaluation",
            y="loss",
            series=[Series(name, points) for name, points in losses.items()],
            log_y=True,
        )
        return strips, chart


def _smaller(image: Float[Tensor, "3 height width"], most_px: int) -> Float[Tensor, "3 _ _"]:
    """The image with no side above so many pixels, and none below the network's 16."""
    scale = min(1.0, most_px / max(image.shape[1:]))
    sizes = [max(16, round(scale * size)) for size in image.shape[1:]]
    smaller = functional.interpolate(image[None], sizes, mode="bilinear", antialias=True)
    return smaller[0].contiguous()


def _pixels(image: Float[Tensor, "3 height width"]) -> ndarray:
    return (image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
