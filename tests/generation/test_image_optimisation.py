"""Losses of style transfer against sums by hand; the optimisation makes them small."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from modules.generation.image_optimisation import (
    StyleLosses,
    StyleObjective,
    StyleTargets,
    contents_of,
    gram_matrix,
    style_losses,
    style_targets,
    styles_of,
    stylise,
)
from modules.models.convolutional.stylised_image import white_noise
from modules.models.convolutional.vgg16 import Vgg16

OBJECTIVE = StyleObjective({"conv2_2": 0.5}, {"conv1_1": 2.0, "conv2_1": 3.0}, variation_weight=0.25)


def seeded(number: int) -> torch.Generator:
    return torch.Generator().manual_seed(number)


@pytest.fixture
def backbone() -> Vgg16:
    torch.manual_seed(0)
    return Vgg16("average", "conv2_2").requires_grad_(False)


def images(count: int, size_px: int = 16) -> Tensor:
    return torch.rand(count, 3, size_px, size_px, generator=seeded(1))


def test_a_gram_matrix_is_all_inner_products() -> None:
    maps = torch.randn(2, 3, 4, 5, generator=seeded(0), dtype=torch.float64)
    found = gram_matrix(maps)
    for sample in range(2):
        for one in range(3):
            for other in range(3):
                by_hand = sum(
                    float(maps[sample, one, y, x] * maps[sample, other, y, x])
                    for y in range(4)
                    for x in range(5)
                )
                assert found[sample, one, other].item() == pytest.approx(by_hand)


def test_losses_are_the_papers(backbone: Vgg16) -> None:
    content, style = images(4).split(2)
    image = white_noise((3, 16, 16), seeded(2)).sigmoid()
    found = style_losses(backbone, image[None], style_targets(backbone, content, style, OBJECTIVE), OBJECTIVE)
    own, of_content, of_style = (backbone.feature_maps(one) for one in (image[None], content, style))
    for sample in range(2):
        by_hand = 0.5 * (own["conv2_2"][0] - of_content["conv2_2"][sample]).square().sum() / 2
        torch.testing.assert_close(found.content[sample], by_hand)
        by_hand = torch.zeros(())
        for name, weight, num_maps, num_places in (("conv1_1", 2, 64, 256), ("conv2_1", 3, 128, 64)):
            gram, wanted = (
                torch.einsum("ixy,jxy->ij", maps, maps) for maps in (own[name][0], of_style[name][sample])
            )
            by_hand += weight * (gram - wanted).square().sum() / (4 * num_maps**2 * num_places**2)
        torch.testing.assert_close(found.style[sample], by_hand)
    across = (image[:, :, 1:] - image[:, :, :-1]).square().sum()
    down = (image[:, 1:] - image[:, :-1]).square().sum()
    torch.testing.assert_close(found.variation, 0.25 * (across + down)[None])
    torch.testing.assert_close(found.total, found.content + found.style + found.variation)


def test_a_photograph_has_its_own_content_and_a_painting_its_own_style(backbone: Vgg16) -> None:
    content, style = images(2).split(1)
    targets = style_targets(backbone, content, style, OBJECTIVE)
    assert style_losses(backbone, content, targets, OBJECTIVE).content.item() == 0
    assert style_losses(backbone, style, targets, OBJECTIVE).style.item() == 0
    assert style_losses(backbone, style, targets, OBJECTIVE).content.item() > 0
    assert style_losses(backbone, content, targets, OBJECTIVE).style.item() > 0


def test_images_are_compared_each_with_its_own_photograph_and_one_painting(backbone: Vgg16) -> None:
    content, style, made = images(5).split([2, 1, 2])
    styles = {name: 256 * gram for name, gram in styles_of(backbone, style, OBJECTIVE).items()}
    targets = StyleTargets(contents_of(backbone, content, OBJECTIVE), styles)
    found = style_losses(backbone, made, targets, OBJECTIVE)
    for number in range(2):
        one = slice(number, number + 1)
        alone = style_losses(
            backbone, made[one], style_targets(backbone, content[one], style, OBJECTIVE), OBJECTIVE
        )
        for name in ("content", "style", "variation", "total"):
            torch.testing.assert_close(getattr(found, name)[one], getattr(alone, name))


def test_a_painting_may_have_another_size(backbone: Vgg16) -> None:
    """Tiled four times it is the same style, but for the borders of its tiles."""
    content, style = images(2, 32).split(1)
    tiled = style.repeat(1, 1, 2, 2)
    one, other = (style_targets(backbone, content, shown, OBJECTIVE).style for shown in (style, tiled))
    for name, gram in one.items():
        assert ((other[name] - gram).norm() / gram.norm()).item() < 0.2


def test_stylise_makes_the_loss_small_and_tells_of_each_evaluation(backbone: Vgg16) -> None:
    content, style = images(2)
    seen: list[tuple[int, Tensor, StyleLosses]] = []
    watch: Callable[[int, Tensor, StyleLosses], None] = lambda *step: seen.append(step)  # noqa: E731
    objective = StyleObjective({"conv2_2": 0.01}, {"conv1_1": 1.0, "conv2_1": 1.0})
    targets = style_targets(backbone, content[None], style[None], objective)
    found = stylise(content, targets, backbone, objective, 40, "noise", seeded(3), watch)
    assert 40 <= len(seen) < 60 and [number for number, _, _ in seen] == list(range(len(seen)))
    assert seen[-1][2].total.item() < 0.05 * seen[0][2].total.item()
    torch.testing.assert_close(seen[0][1], white_noise((3, 16, 16), seeded(3)).sigmoid())
    assert found.shape == content.shape and found.min() >= 0 and found.max() <= 1
    assert torch.equal(found, stylise(content, targets, backbone, objective, 40, "noise", seeded(3)))
    assert all(weight.grad is None for weight in backbone.parameters())
    seen.clear()
    stylise(content, targets, backbone, objective, 1, "photograph", None, watch)
    torch.testing.assert_close(seen[0][1], content.clamp(1 / 255, 254 / 255))


@pytest.mark.parametrize(
    ("content", "style", "said"),
    [({}, {"conv1_1": 1.0}, "name layers"), ({"conv1_1": -1.0}, {"conv1_1": 1.0}, "below 0"),
     ({"conv1_1": 0.0}, {"conv1_1": 0.0}, "above 0")],
)  # fmt: skip
def test_an_objective_that_demands_nothing(
    content: dict[str, float], style: dict[str, float], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        StyleObjective(content, style)


def test_a_layer_that_is_not_there(backbone: Vgg16) -> None:
    content, style = images(2).split(1)
    with pytest.raises(ValueError, match="no layer 'conv5_1'"):
        style_targets(backbone, content, style, StyleObjective({"conv5_1": 1.0}, {"conv1_1": 1.0}))
