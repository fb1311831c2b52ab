"""Charts: what is plotted is where the numbers say, and labels leave one another alone."""

import itertools
import math
import random
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.evaluation.findings import Chart, Series
from modules.report.charts import plot
from modules.report.confusion import class_accuracy, matrix_rows, most_confused
from modules.report.learning_curves import learning_curves, quantity_curves
from modules.report.reading import read_recipes
from modules.report.results import Recipe
from modules.report.svg import Scale, element
from modules.report.trade_off import trade_off

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def recipes(trained: Path) -> list[Recipe]:
    return read_recipes(trained)


def with_cost(recipe: Recipe, name: str, **cost: float) -> Recipe:
    return replace(recipe, name=name, plan=recipe.plan | {"cost": recipe.plan["cost"] | cost})


@given(
    low=st.floats(1e-6, 1e9),
    factor=st.floats(1.001, 1e12),
    log=st.booleans(),
    most=st.integers(3, 8),
)
def test_ticks_are_few_round_and_inside(low: float, factor: float, log: bool, most: int) -> None:
    scale = Scale(low, low * factor, 0, 100, log=log)
    ticks = scale.ticks(most)
    assert 1 <= len(ticks) <= most
    assert ticks == sorted(set(ticks))
    margin = (low * factor - low) * 1e-6
    assert all(low - margin <= tick <= low * factor + margin for tick in ticks)


def test_ticks_of_a_narrow_logarithmic_scale_are_round_too() -> None:
    assert Scale(0.00117881, 0.00191949, 0, 100, log=True).ticks(6) == pytest.approx(
        [0.0012, 0.0014, 0.0016, 0.0018]
    )
    assert Scale(3e-7, 4e-7, 0, 100, log=True).ticks(3) == pytest.approx([3e-7, 3.5e-7, 4e-7])


def test_scale() -> None:
    assert Scale(0, 10, 100, 200)(2.5) == 125
    assert Scale(1, 100, 0, 50, log=True)(10) == pytest.approx(25)
    assert Scale(3, 3, 0, 50)(3) == 25


def test_elements_escape() -> None:
    assert element("text", "<b>", element("a"), class_='"') == '<text class="&#34;">&lt;b&gt;<a></a></text>'
    assert element("line", x1=1.0, y1=2.345678, stroke_width=None) == '<line x1="1" y1="2.35"></line>'


def test_area_of_circles_is_parameters(recipes: list[Recipe]) -> None:
    some = [
        with_cost(recipes[0], f"r{n}", num_parameters=n, multiply_adds=n) for n in (40_000, 90_000, 360_000)
    ]
    root = ElementTree.fromstring(trade_off("data", some, some))
    circles = [
        (float(circle.get("cx", 0)), float(circle.get("r", 0))) for circle in root.findall(f"{SVG}circle")
    ]
    assert [r for _, r in circles] == pytest.approx([22 / 3, 11, 22], abs=0.01)
    distances = [circles[1][0] - circles[0][0], circles[2][0] - circles[1][0]]
    assert distances[1] / distances[0] == pytest.approx(math.log(4) / math.log(90 / 40), rel=0.01)


def test_every_recipe_is_labelled_apart(recipes: list[Recipe]) -> None:
    """Fourteen nets of nearly the same score and cost."""
    some = [
        with_cost(recipes[0], f"network_{n}", num_parameters=10_000 * (n + 1), multiply_adds=10_000 * 1.5**n)
        for n in range(14)
    ]
    root = ElementTree.fromstring(trade_off("data", some, some))
    links = list(root.iter(f"{SVG}a"))
    assert [link.get("href") for link in links] == [f"#network_{n}" for n in range(14)]
    boxes = []
    for link in links:
        label = link[0]
        width = 6.3 * len(label.text or "")
        left = (
            float(label.get("x", 0))
            - {"start": 0, "middle": 0.5, "end": 1}[label.get("text-anchor", "")] * width
        )
        boxes.append((left, float(label.get("y", 0)), width))
    for index, (left, y, width) in enumerate(boxes):
        for other_left, other_y, other_width in boxes[:index]:
            beside = left >= other_left + other_width - 0.1 or other_left >= left + width - 0.1
            assert beside or abs(y - other_y) >= 12.9


def test_legend_of_areas_agrees_with_the_chart(recipes: list[Recipe]) -> None:
    some = [with_cost(recipes[0], "r", num_parameters=100_000)]
    root = ElementTree.fromstring(trade_off("data", some, some))
    legend = root.findall(f"{SVG}g/{SVG}circle")
    circle = root.find(f"{SVG}circle")
    assert circle is not None and circle.get("r") == legend[1].get("r") == "22"
    assert [text.text for text in root.findall(f"{SVG}g/{SVG}text")][1:3] == ["10 k", "100 k"]


def test_curves_end_at_the_last_value(recipes: list[Recipe]) -> None:
    training = recipes[1].training
    assert training
    chart = quantity_curves(recipes[1], "loss")
    assert chart and f"validation {training.history['validation/loss'][-1][1]:.3f}" in chart
    root = ElementTree.fromstring(chart)
    x, _ = re.findall(r"[\d.]+,[\d.]+", next(root.iter(f"{SVG}path")).get("d", ""))[-1].split(",")
    ends = [float(circle.get("cx", 0)) for circle in root.iter(f"{SVG}circle")]
    assert ends == pytest.approx([float(x)] * 2), "both curves end with the last epoch"


def test_long_curves_are_thinned_without_losing_the_mean(recipes: list[Recipe]) -> None:
    training = recipes[0].training
    assert training
    steps = 100_000
    history = {"train/loss": [(float(step), 1 + math.sin(step / 5000)) for step in range(1, steps + 1)]}
    chart = quantity_curves(
        replace(recipes[0], training=replace(training, steps=steps, history=history)), "loss"
    )
    assert chart and len(chart) < 12_000


@pytest.mark.parametrize(
    "points", [[], [(1.0, math.nan)], [(1.0, 0.3)], [(1.0, 0.0), (2.0, 0.0)], [(1.0, -3.0)]]
)
def test_odd_curves(recipes: list[Recipe], points: list[tuple[float, float]]) -> None:
    training = recipes[0].training
    assert training
    history = {"train/loss": points, "validation/accuracy": points}
    odd = replace(recipes[0], training=replace(training, history=history))
    finite = any(math.isfinite(value) for _, value in points)
    assert (quantity_curves(odd, "loss") is not None) == finite
    assert bool(learning_curves(odd)) == finite
    nothing = replace(recipes[0], training=replace(training, steps=0, epochs=0, history=history))
    assert (quantity_curves(nothing, "loss") is not None) == finite


def test_each_step_of_a_task_has_a_curve_of_its_loss(recipes: list[Recipe]) -> None:
    training = recipes[0].training
    assert training
    points = [(1.0, 2.0), (2.0, 1.0)]
    names = ["train/eve/loss", "train/alice_and_bob/loss", "train/gradient_norm/loss/loss"]
    taken = replace(recipes[0], training=replace(training, history=dict.fromkeys(names, points)))
    assert [quantity for quantity, _ in learning_curves(taken)] == ["eve/loss", "alice_and_bob/loss"]


def test_quantities_of_one_kind_share_a_chart(recipes: list[Recipe]) -> None:
    training = recipes[0].training
    assert training is not None
    points = [(1, 4.0), (2, 3.0)]
    names = ("validation/bob_error_bits", "validation/eve_error_bits", "validation/loss")
    taken = replace(recipes[0], training=replace(training, history=dict.fromkeys(names, points)))
    charts = dict(learning_curves(taken))
    assert list(charts) == ["error_bits", "loss"]
    assert all(name in charts["error_bits"] for name in (">bob", ">eve", "error bits"))


def test_confusions(recipes: list[Recipe]) -> None:
    evaluation = recipes[0].evaluation
    assert evaluation
    pairs = most_confused(evaluation, most=100)
    errors = evaluation.confusion.sum() - evaluation.confusion.trace()
    assert sum(pair.count for pair in pairs) == errors
    assert [pair.count for pair in pairs] == sorted((pair.count for pair in pairs), reverse=True)
    rows = matrix_rows(evaluation)
    assert rows and all(0 <= cell.shade <= 1 for _, cells in rows for cell in cells)
    worst = max((cell for _, cells in rows for cell in cells if not cell.right), key=lambda cell: cell.shade)
    assert worst.shade == pytest.approx(1)


def test_many_classes(recipes: list[Recipe]) -> None:
    import numpy

    evaluation = recipes[0].evaluation
    assert evaluation
    names = [f"class {number}" for number in range(200)]
    many = replace(
        evaluation,
        classes=names,
        confusion=numpy.eye(200, dtype=int),
        per_class={name: number / 200 for number, name in enumerate(names)},
    )
    assert matrix_rows(many) is None
    chart = class_accuracy(many, 0.5)
    assert chart and "class 0<" in chart and "class 199<" not in chart, "the worst are shown"


def test_class_without_samples(recipes: list[Recipe]) -> None:
    import numpy

    evaluation = recipes[0].evaluation
    assert evaluation
    empty = replace(evaluation, confusion=numpy.zeros((4, 4), dtype=int), per_class={})
    rows = matrix_rows(empty)
    assert rows and all(cell.shade == 0 for _, cells in rows for cell in cells)
    assert most_confused(empty) == [] and class_accuracy(empty, None) is None


def chart(kind: str, *series: Series, **changes) -> Chart:
    return Chart("name", "title", "caption", kind, "x", "y", list(series), **changes)  # type: ignore[arg-type]


def test_lines_go_through_their_points() -> None:
    plotted = plot(chart("lines", Series("a", [(0, 1), (1, 2), (4, 3)]), Series("b", [(0, 2)])))
    root = ElementTree.fromstring(plotted or "")
    first = [
        (float(dot.get("cx", 0)), float(dot.get("cy", 0)))
        for dot in next(root.iter(f"{SVG}g")).iter(f"{SVG}circle")
    ]
    assert (first[1][0] - first[0][0]) / (first[2][0] - first[0][0]) == pytest.approx(1 / 4, abs=0.001)
    assert first[0][1] - first[1][1] == pytest.approx(first[1][1] - first[2][1], abs=0.02)
    assert [text.text for text in root.iter(f"{SVG}text") if "name-of" in text.get("class", "")] == ["a", "b"]


def test_a_logarithmic_axis_shows_what_vanishes() -> None:
    norms = Series("sigmoid", [(layer, 10.0 ** (layer - 10)) for layer in range(10)])
    root = ElementTree.fromstring(plot(chart("lines", norms, Series("none", [(1, 0)]), log_y=True)) or "")
    heights = [float(dot.get("cy", 0)) for dot in root.iter(f"{SVG}circle")]
    steps = [before - after for before, after in itertools.pairwise(heights)]
    assert len(heights) == 10 and steps == pytest.approx([steps[0]] * 9, abs=0.02)
    labels = {text.text for text in root.iter(f"{SVG}text")}
    assert "1e-8" in labels and "y (logarithmic)" in labels


def test_a_cloud_of_many_points_stays_small() -> None:
    generator = random.Random(0)
    clouds = [
        Series(f"class {n}", [(generator.gauss(n, 1), generator.gauss(0, 1)) for _ in range(2000)])
        for n in range(10)
    ]
    plotted = plot(chart("points", *clouds))
    assert plotted and len(plotted) < 60_000 and "3,000 of 20,000 points" in plotted
    assert plotted == plot(chart("points", *clouds))
    few = plot(chart("points", Series("only", clouds[0].points[:100])))
    assert few and few.count("h0") == 100 and ">only<" not in few


@pytest.mark.parametrize("kind", ["lines", "points"])
@pytest.mark.parametrize("count", [14, 15, 43])
def test_names_of_many_series_stay_beside_the_chart(kind: str, count: int) -> None:
    plotted = plot(chart(kind, *(Series(f"class {n}", [(0, n), (1, n)]) for n in range(count))))
    root = ElementTree.fromstring(plotted or "")
    heights = [
        float(text.get("y", 0)) for text in root.iter(f"{SVG}text") if "name-of" in text.get("class", "")
    ]
    assert len(heights) == (count if count <= 14 else 13)
    assert min(heights) > 12 and max(heights) < (230 if count <= 14 else 214)
    assert all(below - above >= 12 for above, below in itertools.pairwise(sorted(heights)))
    assert (f">and {count - 13} more<" in (plotted or "")) == (count > 14)


@pytest.mark.parametrize("points", [[], [(math.nan, 1)], [(1, math.inf)]])
def test_nothing_to_draw(points: list[tuple[float, float]]) -> None:
    assert plot(chart("points", Series("a", points))) is None and plot(chart("lines")) is None


def test_one_point_and_equal_points() -> None:
    for kind in ("lines", "points"):
        for points in ([(0.0, 0.0)], [(5.0, 5.0)] * 3):
            assert plot(chart(kind, Series("a", points)))
    assert plot(chart("lines", Series("a", [(2.0, 2.0)]), log_x=True, log_y=True))


def test_labels_across_leave_one_another_alone() -> None:
    across = [(float(n), "a long name of a class") for n in range(9)]
    plotted = plot(chart("lines", Series("a", [(x, x) for x, _ in across])), across)
    root = ElementTree.fromstring(plotted or "")
    places = [float(text.get("x", 0)) for text in root.iter(f"{SVG}text") if text.text == across[0][1]]
    assert 2 <= len(places) < 9 and all(after - before > 130 for before, after in itertools.pairwise(places))
