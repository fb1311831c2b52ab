"""docs/catalogue.md: a table of each family."""

from pathlib import Path
from typing import Any

import pytest

from modules.planning.catalogue_page import catalogue_page, page_facts
from tests.plans import COST


def facts(family: str, about: str = "A net.", **expected: Any) -> dict[str, Any]:
    configuration = {"data": {"name": "own_data"}, "expected": {"metric": "mean_error", **expected}}
    return page_facts(Path(f"conf/recipe/{family}/x.yaml"), about, configuration, COST)


def rows(page: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| [")]


def test_a_table_for_each_family() -> None:
    recipes = {"b": facts("recurrent", at_least=1), "c": facts("own_nets", at_least=1)}
    page = catalogue_page(recipes | {"a": facts("recurrent", at_least=1)})
    assert "3 recipes in 2 families" in page
    headings = [line for line in page.splitlines() if line.startswith("## ")]
    assert headings == ["## Own nets", "## Recurrent"]
    assert [row[0] for row in rows(page)] == [
        "[c](../conf/recipe/own_nets/c.yaml)",
        "[a](../conf/recipe/recurrent/a.yaml)",
        "[b](../conf/recipe/recurrent/b.yaml)",
    ]
    tables = [line for line in page.splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in tables}) == 1 and len(tables) == 3 + 2 * 2


@pytest.mark.parametrize(
    ("expected", "cells"),
    [
        ({"at_least": 0.91, "seen": 0.9155, "minutes": 4}, ["≥ 0.91", "0.9155", "4"]),
        ({"at_most": 0.05, "seen": 0.0017}, ["≤ 0.05", "0.0017", ""]),
        ({"at_least": -170, "at_most": None, "minutes": 0.3}, ["≥ -170", "not run", "0.3"]),
        ({"at_least": 1, "seen": None, "minutes": None}, ["≥ 1", "not run", ""]),
    ],
)
def test_what_is_said_of_a_recipe(expected: dict[str, Any], cells: list[str]) -> None:
    ((_, *told),) = rows(catalogue_page({"x": facts("own", **expected)}).replace("|  |", "| - |"))
    assert told == ["A net.", "own_data", "1", "1", "mean_error", *(cell or "-" for cell in cells)]


def test_a_sentence_breaks_no_table() -> None:
    ((_, about, *_),) = rows(
        catalogue_page({"x": facts("own", "Of `a`|b\nand <c> *d*,\t_e_ f_g.", at_least=1)})
    )
    assert about == r"Of \`a\`\|b and \<c\> \*d\*, \_e\_ f_g."
