"""An image made by optimisation: its pixels are what is learned, and a trained network says how good they
are.

Style transfer after Gatys, Ecker & Bethge (2015), *A neural algorithm of artistic style*, arXiv 1508.06576:
an image whose maps of a high layer are those of a photograph, and whose maps of several layers are as
correlated as those of a painting. Equations are numbered as there.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from modules.models.convolutional.stylised_image import white_noise
from modules.models.features import Backbone

_MEMORY = 100
"""Iterations that L-BFGS remembers."""


@dataclass(frozen=True)
class StyleObjective:
    """What is demanded of an image: a loss that adds up equation 7's, layer by layer, and smoothness.

    Attributes:
        content_weights: of equation 1, by the layers whose maps are to be the photograph's.
        style_weights: of equation 4, by the layers whose maps are to be correlated as the painting's.
        variation_weight: of the squares of differences between neighbouring pixels (total variation with
            beta = 2 of Mahendran & Vedaldi 2015, equation 5, arXiv 1412.0035); the paper has none.

    Raises:
        ValueError: a weight is below 0, or no layer has any.
    """

    content_weights: Mapping[str, float]
    style_weights: Mapping[str, float]
    variation_weight: float = 0.0

    def __post_init__(self) -> None:
        weights = [*self.content_weights.values(), *self.style_weights.values()]
        if not all(weight >= 0 for weight in [*weights, self.variation_weight]):
            raise ValueError("a weight is below 0: it would reward what is far from its target")
        if not self.content_weights or not self.style_weights or not any(weights):
            raise ValueError("content_weights and style_weights have to name layers, one of weight above 0")


@dataclass(frozen=True)
class StyleTargets:
    """What an image's maps are compared with.

    Attributes:
        content: maps of the photographs, by layer (P in equation 1).
        style: Gram matrices of the paintings, or of one for all, by layer (A in equation 4).
    """

    content: dict[str, Float[Tensor, "batch maps height width"]]
    style: dict[str, Float[Tensor, "paintings maps maps"]]


@dataclass(frozen=True)
class StyleLosses:
    """How far an image is from each target, weighted.

    Attributes:
        content: equation 1, summed over layers.
        style: equation 5.
        variation: how rough the image is.
    """

    content: Float[Tensor, " batch"]
    style: Float[Tensor, " batch"]
    variation: Float[Tensor, " images"]

    @property
    def total(self) -> Float[Tensor, " batch"]:
        """What is minimised: equation 7, and the roughness."""
        return self.content + self.style + self.variation


def gram_matrix(maps: Float[Tensor, "batch maps height width"]) -> Float[Tensor, "batch maps maps"]:
    """Inner products of maps over all places, equation 3: what occurs together, wherever it does."""
    # Maps mostly lie with their channels innermost, where this is no copy, and its gradient lies like them.
    flat = maps.permute(0, 2, 3, 1).flatten(1, 2)
    return flat.mT @ flat


@torch.no_grad()
def style_targets(
    backbone: Backbone,
    content: Float[Tensor, "batch 3 height width"],
    style: Float[Tensor, "batch 3 style_height style_width"],
    objective: StyleObjective,
) -> StyleTargets:
    """What an image is to be like; without a graph.

    Args:
        backbone: gives maps.
        content: photographs, in 0..1.
        style: paintings, in 0..1, of any size.
        objective: names layers.

    Raises:
        ValueError: the backbone has no such layer.
    """
    of_content = contents_of(backbone, content, objective)
    # A sum over places grows with their number: a painting's is brought to the size of the image.
    num_pixels = content.shape[-2] * content.shape[-1]
    styles = styles_of(backbone, style, objective)
    return StyleTargets(of_content, {name: num_pixels * gram for name, gram in styles.items()})


@torch.no_grad()
def contents_of(
    backbone: Backbone, content: Float[Tensor, "batch 3 height width"], objective: StyleObjective
) -> dict[str, Float[Tensor, "batch maps _ _"]]:
    """Maps of photographs by layer, as an image's are to be; without a graph.

    Raises:
        ValueError: the backbone has no such layer.
    """
    return _chosen(backbone.feature_maps(content), objective.content_weights)


@torch.no_grad()
def styles_of(
    backbone: Backbone, style: Float[Tensor, "paintings 3 height width"], objective: StyleObjective
) -> dict[str, Float[Tensor, "paintings maps maps"]]:
    """Gram matrices of paintings by layer, divided by how many pixels a painting has; without a graph.

    Raises:
        ValueError: the backbone has no such layer.
    """
    num_pixels = style.shape[-2] * style.shape[-1]
    chosen = _chosen(backbone.feature_maps(style), objective.style_weights)
    return {name: gram_matrix(maps) / num_pixels for name, maps in chosen.items()}


def style_losses(
    backbone: Backbone,
    images: Float[Tensor, "images 3 height width"],
    targets: StyleTargets,
    objective: StyleObjective,
) -> StyleLosses:
    """How far each image is from the target of the same number, or one image from each of several targets.

    Args:
        backbone: gives maps.
        images: in about 0..1; as many as targets, or one.
        targets: of photographs of the images' size.
        objective: layers and weights.
    """
    maps = backbone.feature_maps(images)
    content = [
        objective.content_weights[name] / 2 * (maps[name] - wanted).square().flatten(1).sum(1)
        for name, wanted in targets.content.items()
    ]
    style = [
        objective.style_weights[name] * _style_loss(maps[name], wanted)
        for name, wanted in targets.style.items()
    ]
    across, down = (images.diff(dim=axis).square().flatten(1).sum(1) for axis in (-1, -2))
    return StyleLosses(
        torch.stack(content).sum(0), torch.stack(style).sum(0), objective.variation_weight * (across + down)
    )


def stylise(
    content: Float[Tensor, "3 height width"],
    targets: StyleTargets,
    backbone: Backbone,
    objective: StyleObjective,
    num_evaluations: int,
    start: Literal["noise", "photograph"] = "noise",
    generator: torch.Generator | None = None,
    watch: Callable[[int, Float[Tensor, "3 height width"], StyleLosses], None] | None = None,
) -> Float[Tensor, "3 height width"]:
    """The photograph in the manner of the painting, by L-BFGS.

    Args:
        content: a photograph in 0..1.
        targets: of the photograph and a painting, of the same backbone and objective.
        backbone: gives maps; its weights stay as they are.
        objective: layers and weights.
        num_evaluations: of the losses; the last line search may take a few more. An iteration of L-BFGS takes
            a little more than one.
        start: white noise, as in the paper, or the photograph, which takes fewer evaluations to look well.
        generator: of the noise; None = torch's own.
        watch: is called at each evaluation with its number, the image and its losses.

    Returns:
        The image in 0..1.
    """
    begun = white_noise(content.shape, generator).to(content.device, content.dtype)
    if start == "photograph":
        # Black and white would lie at infinity.
        begun = content.clamp(1 / 255, 254 / 255).logit().contiguous()
    image = nn.Parameter(begun)
    optimizer = torch.optim.LBFGS(
        [image],
        max_iter=num_evaluations,
        max_eval=num_evaluations,
        history_size=_MEMORY,
        line_search_fn="strong_wolfe",
    )
    number = itertools.count()

    def evaluate() -> Tensor:
        optimizer.zero_grad()
        pixels = image.sigmoid()
        losses = style_losses(backbone, pixels[None], targets, objective)
        losses.total.sum().backward(inputs=[image])
        if watch is not None:
            watch(next(number), pixels.detach(), losses)
        return losses.total.sum().detach()

    optimizer.step(evaluate)
    return image.detach().sigmoid()


def _style_loss(
    maps: Float[Tensor, "images maps height width"], wanted: Float[Tensor, "targets maps maps"]
) -> Float[Tensor, " batch"]:
    """Equation 4."""
    num_maps, num_places = maps.shape[1], maps.shape[2] * maps.shape[3]
    return (gram_matrix(maps) - wanted).square().flatten(1).sum(1) / (4 * num_maps**2 * num_places**2)


def _chosen(maps: Mapping[str, Tensor], layers: Iterable[str]) -> dict[str, Tensor]:
    found = {}
    for name in layers:
        if name not in maps:
            raise ValueError(f"there is no layer {name!r}, only {', '.join(maps)}")
        found[name] = maps[name]
    return found
