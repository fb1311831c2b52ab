"""The charts of gradients: the right epochs, the right layers, and only where something was logged."""

from dataclasses import replace
from pathlib import Path

from modules.report.gradient_norm_chart import gradient_norms
from modules.report.page import render
from modules.report.reading import read_recipes
from modules.report.results import Recipe


def logged(recipe: Recipe, factor: float) -> Recipe:
    """A recipe of two layers and four epochs, whose norms fall with the steps."""
    assert recipe.training
    steps = recipe.training.steps
    curve = [(step, factor / step) for step in range(1, steps + 1)]
    history = recipe.training.history | {
        "train/gradient_norm/hidden.0": curve,
        "train/gradient_norm/output": [(step, 10 * norm) for step, norm in curve],
    }
    return replace(recipe, training=replace(recipe.training, history=history))


def test_each_point_is_the_mean_over_one_epoch(trained: Path) -> None:
    line, net = read_recipes(trained)
    first, last = gradient_norms([line, logged(net, 1.0)])
    assert net.training
    steps, per_epoch = net.training.steps, net.training.steps // 4
    for chart, epoch in ((first, range(1, per_epoch + 1)), (last, range(steps - per_epoch + 1, steps + 1))):
        mean = sum(1 / step for step in epoch) / per_epoch
        assert [one.name for one in chart.series] == ["net"]
        (number, low), (above, high) = chart.series[0].points
        assert (number, above) == (1, 2)
        assert abs(low - mean) < 1e-12 and abs(high - 10 * mean) < 1e-12


def test_the_page_shows_them_where_a_recipe_logged_them(trained: Path) -> None:
    line, net = read_recipes(trained)
    heading = "How far the gradient comes"
    assert heading not in render([line, net])
    page = render([logged(line, 0.1), logged(net, 1.0)])
    assert heading in page
    assert page.count("<figcaption>First epoch") == page.count("<figcaption>Last epoch") == 1
    assert "norm (logarithmic)" in page
