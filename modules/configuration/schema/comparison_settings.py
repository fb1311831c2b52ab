"""The section of a comparison of recipes, conf/comparison/<name>.yaml, which the report shows."""

from collections import Counter
from dataclasses import dataclass

from modules.configuration.errors import ConfigError


@dataclass(frozen=True)
class ComparisonSettings:
    """Recipes beside each other: one table, and one chart of all of them.

    Attributes:
        name: of the file.
        title: above it.
        caption: what is compared, in a sentence.
        recipes: two or more, in the order in which they are shown.
        metrics: of the test split, that every one of them is measured by.
        chart: of their evaluators, laid over one another; null is none.
        series: of each recipe's chart, the one that is shown; null is the first.
        curve: in the place of a chart what their tasks log in validation, against epochs; null is none.
    """

    name: str
    title: str
    caption: str
    recipes: list[str]
    metrics: list[str]
    chart: str | None = None
    series: str | None = None
    curve: str | None = None

    def __post_init__(self) -> None:
        for key, values in (("recipes", self.recipes), ("metrics", self.metrics)):
            twice = [value for value, count in Counter(values).items() if count > 1]
            if twice:
                raise ConfigError(key, f"{twice[0]!r} is there twice", "Leave one out")
        if len(self.recipes) < 2:
            found = f"{len(self.recipes)} where two or more are compared"
            raise ConfigError("recipes", found, "Name another recipe, or delete the file")
        if not self.metrics:
            raise ConfigError("metrics", "names none", "Name what all of the recipes are measured by")
        if self.chart is not None and self.curve is not None:
            raise ConfigError("curve", f"{self.curve!r} beside a chart", "Leave one of them out")
        if self.series is not None and self.chart is None:
            raise ConfigError("series", f"{self.series!r} of no chart", "Name the chart, or leave series out")
