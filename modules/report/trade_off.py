"""The chart of all recipes of a dataset: score against multiply-adds, circle area = parameters."""

import math
from dataclasses import dataclass

from markupsafe import Markup

from modules.report import numbers
from modules.report.axes import axes
from modules.report.results import Recipe
from modules.report.svg import Scale, element, figure

LEFT, RIGHT, TOP, BOTTOM = 46, 18, 26, 82
# A chart of few recipes, and one of many: more than `FEW` labels need the whole width of the page.
FEW, SMALL, LARGE = 8, (440.0, 350.0), (1000.0, 510.0)
LARGEST_RADIUS, SMALLEST_RADIUS = 22.0, 2.5
# Mean width of a character of the labels, and the height of their line.
CHARACTER, LINE = 6.3, 13.0


@dataclass(frozen=True)
class Box:
    """A rectangle that a circle or a label takes up."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: "Box") -> bool:
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


def trade_off(dataset: str, recipes: list[Recipe], all_recipes: list[Recipe]) -> Markup:
    """Plots one dataset; the horizontal scale and the circles compare with every other dataset's chart."""
    scored = [recipe for recipe in recipes if recipe.score is not None]
    width, height = SMALL if len(recipes) <= FEW else LARGE
    costs = [max(recipe.multiply_adds, 1) for recipe in all_recipes if recipe.score is not None]
    x = Scale(min(costs) / 2, max(costs) * 2, LEFT, width - RIGHT, log=True)
    values = [value for recipe in scored for value in (recipe.score or 0.0, recipe.expected)]
    margin = max((max(values) - min(values)) * 0.18, 0.004)
    y = Scale(min(values) - margin, max(values) + margin, height - BOTTOM, TOP)
    marks: list[Markup] = []
    circles = [_circle(recipe, x, y, all_recipes) for recipe in scored]
    taken = [Box(cx - r * 0.8, cy - r * 0.8, cx + r * 0.8, cy + r * 0.8) for cx, cy, r in circles]
    taken += [
        Box(cx - 7, y(recipe.expected) - 1, cx + 7, y(recipe.expected) + 1)
        for recipe, (cx, _, _) in zip(scored, circles, strict=True)
    ]
    frame = Box(LEFT + 2, TOP - 12, width, height - BOTTOM)
    for recipe, (cx, cy, radius) in zip(scored, circles, strict=True):
        goal = y(recipe.expected)
        if abs(goal - cy) > radius:
            edge = cy + math.copysign(radius, goal - cy)
            marks.append(element("line", x1=cx, x2=cx, y1=edge, y2=goal, class_="stem"))
        marks.append(element("line", x1=cx - 7, x2=cx + 7, y1=goal, y2=goal, class_="goal"))
        hint = (
            f"{recipe.name}: {numbers.spoken(recipe.metric)} {numbers.score(recipe.score)}, "
            f"expected {recipe.expected:g}; {numbers.count(recipe.multiply_adds)} multiply-adds; "
            f"{numbers.count(recipe.num_parameters)} parameters"
        )
        state = "circle" if recipe.reached else "circle missed"
        marks.append(element("circle", element("title", hint), cx=cx, cy=cy, r=radius, class_=state))
    for recipe, circle in zip(scored, circles, strict=True):
        text_x, text_y, anchor, box = _place(recipe.name, circle, taken, frame)
        taken.append(box)
        label = element("text", recipe.name, x=text_x, y=text_y, text_anchor=anchor, class_="name")
        marks.append(element("a", label, href=f"#{recipe.name}"))
    described = "; ".join(
        f"{recipe.name} {numbers.score(recipe.score)} at {numbers.rounded(recipe.multiply_adds)}"
        for recipe in scored
    )
    label = (
        f"{dataset}: {numbers.spoken(scored[0].metric)} against multiply-adds for one sample. {described}."
    )
    legend = _legend(all_recipes, height - LARGEST_RADIUS - 1)
    across = [(value, numbers.rounded(value)) for value in x.ticks(6)]
    titles = ("multiply-adds for one sample (logarithmic)", f"test {numbers.spoken(scored[0].metric)}")
    plotted = axes(x, y, 6, across, titles, TOP - 14)
    return figure(width, height, label, *plotted, *marks, legend)


def _legend(recipes: list[Recipe], middle: float) -> Markup:
    """Circles of round sizes to read the parameters by, on the scale of the chart, and the other marks."""
    largest = max(recipe.num_parameters for recipe in recipes)
    top = 10 ** math.floor(math.log10(max(largest, 1)))
    marks = [element("text", "area = parameters", x=0, y=middle + 4)]
    x = CHARACTER * 17
    for value in (top / 100, top / 10, top):
        radius = _radius(value, largest)
        if radius == SMALLEST_RADIUS:
            continue  # plotted larger than its area
        name = numbers.rounded(value)
        marks.append(element("circle", cx=x + radius, cy=middle, r=radius, class_="circle"))
        marks.append(element("text", name, x=x + 2 * radius + 4, y=middle + 4))
        x += 2 * radius + 14 + CHARACTER * len(name)
    marks.append(element("line", x1=x + 6, x2=x + 20, y1=middle, y2=middle, class_="goal"))
    marks.append(element("text", "expected", x=x + 24, y=middle + 4))
    x += 36 + CHARACTER * 8
    if any(recipe.reached is False for recipe in recipes):
        marks.append(element("circle", cx=x + 4, cy=middle, r=4, class_="circle missed"))
        marks.append(element("text", "misses it", x=x + 12, y=middle + 4))
    return element("g", *marks, class_="legend")


def _circle(recipe: Recipe, x: Scale, y: Scale, all_recipes: list[Recipe]) -> tuple[float, float, float]:
    largest = max(other.num_parameters for other in all_recipes)
    radius = _radius(recipe.num_parameters, largest)
    return x(max(recipe.multiply_adds, 1)), y(recipe.score or 0.0), radius


def _radius(num_parameters: float, largest: float) -> float:
    return max(math.sqrt(num_parameters / max(largest, 1)) * LARGEST_RADIUS, SMALLEST_RADIUS)


def _place(
    name: str, circle: tuple[float, float, float], taken: list[Box], frame: Box
) -> tuple[float, float, str, Box]:
    """Where a label overlaps nothing: beside its circle, else above or below, farther off if need be."""
    cx, cy, radius = circle
    width = CHARACTER * len(name)
    first = None
    for distance in (radius + 4, radius + 16, radius + 28):
        for anchor, text_x, text_y in (
            ("start", cx + distance, cy + 4),
            ("end", cx - distance, cy + 4),
            ("middle", cx, cy - distance - 2),
            ("middle", cx, cy + distance + 10),
            ("start", cx + distance * 0.7, cy - distance * 0.7),
            ("end", cx - distance * 0.7, cy - distance * 0.7),
            ("start", cx + distance * 0.7, cy + distance * 0.7 + 8),
            ("end", cx - distance * 0.7, cy + distance * 0.7 + 8),
        ):
            left = text_x - {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor] * width
            box = Box(left, text_y - LINE + 2, left + width, text_y + 2)
            inside = box.left >= frame.left and box.right <= frame.right
            inside = inside and box.top >= frame.top and box.bottom <= frame.bottom
            if inside and not any(box.overlaps(other) for other in taken):
                return text_x, text_y, anchor, box
            first = first or (text_x, text_y, anchor, box)
    assert first is not None
    return first
