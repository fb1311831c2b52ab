"""docs/catalogue.md: every recipe in a table of its family, with what is expected of it and what was seen."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HEADER = """\
<!-- Written by `python -m pipelines.plan --catalogue`. Do not edit by hand. -->
# Catalogue

{num_recipes} recipes in {num_families} families, a table each. What is expected is a score of the test split;
seen is that of seed 0, or of the first seed that was trained, and the minutes are about those of one core.
Multiply-adds are of one sample, forward. Each recipe's header says more: other seeds, what it was compared
with, what was tried. `make catalogue` trains all of them, and `python -m pipelines.catalogue --help` says how
to train a part.
"""
COLUMNS = {
    "recipe": ":---",
    "what it is": ":---",
    "data": ":---",
    "parameters": "---:",
    "multiply-adds": "---:",
    "metric": ":---",
    "expected": "---:",
    "seen": "---:",
    "minutes": "---:",
}
"""Their alignment by their headings."""
NOT_RUN = "not run"


def page_facts(file: Path, about: str, configuration: Mapping[str, Any], cost: Any) -> dict[str, Any]:
    """What the page says of a recipe, as plain values.

    Args:
        file: of the recipe, in the folder of its family.
        about: a sentence.
        configuration: resolved.
        cost: of its network, a `modules.configuration.plans.training_cost.Cost`.
    """
    return {
        "family": file.parent.name,
        "about": about,
        "data": configuration["data"]["name"],
        "num_parameters": cost.num_parameters,
        "multiply_adds": cost.multiply_adds,
        "expected": dict(configuration["expected"]),
    }


def catalogue_page(recipes: Mapping[str, Mapping[str, Any]]) -> str:
    """The page.

    Args:
        recipes: what `page_facts` says of each, by name.
    """
    families: dict[str, list[str]] = {}
    for name, entry in sorted(recipes.items()):
        families.setdefault(entry["family"], []).append(name)
    parts = [HEADER.format(num_recipes=len(recipes), num_families=len(families))]
    for family in sorted(families):
        lines = [
            f"## {family.replace('_', ' ').capitalize()}",
            "",
            f"| {' | '.join(COLUMNS)} |",
            f"| {' | '.join(COLUMNS.values())} |",
            *(f"| {' | '.join(_cells(name, recipes[name]))} |" for name in families[family]),
        ]
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def _cells(name: str, entry: Mapping[str, Any]) -> list[str]:
    expected = entry["expected"]
    smaller, larger = expected.get("at_most"), expected.get("at_least")
    seen, minutes = expected.get("seen"), expected.get("minutes")
    return [
        f"[{_plain(name)}](../conf/recipe/{entry['family']}/{name}.yaml)",
        _plain(entry["about"]),
        _plain(entry["data"]),
        f"{entry['num_parameters']:,}",
        f"{entry['multiply_adds']:,}",
        _plain(expected["metric"]),
        f"≥ {larger:g}" if smaller is None else f"≤ {smaller:g}",
        NOT_RUN if seen is None else f"{seen:g}",
        "" if minutes is None else f"{minutes:g}",
    ]


def _plain(text: str) -> str:
    """Text that Markdown leaves as it is, on one line; underscores within a word mean nothing to it."""
    return re.sub(r"([\\`*{}\[\]<>|#]|\b_|_\b)", r"\\\1", " ".join(text.split()))
