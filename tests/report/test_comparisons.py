"""Comparisons: recipes of the catalogue, really evaluated, beside each other; what is missing is told."""

import json
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from modules.configuration.composition.key_locations import CONF
from modules.configuration.errors import UserError
from modules.configuration.plans.plan_files import plan_text
from modules.datamodules.formats.adding_problem import AddingProblemReader
from modules.datamodules.samples import ArraySamples
from modules.datamodules.shard_set import ShardSet
from modules.evaluation.evaluator import evaluate
from modules.models.recurrent.recurrent_regressor import RecurrentRegressor
from modules.report.comparisons import Comparisons, read_comparisons
from modules.report.page import render
from modules.report.reading import read_recipes
from modules.tasks.sequence_regression import SequenceRegression
from tests.plans import composed_plan
from tests.report.test_page import ATTRIBUTES, HOSTILE, TAGS, Page
from tests.written_shards import write_samples

CELLS = ("lstm", "gru", "elman")
RECIPES = [f"adding_{cell}" for cell in CELLS]
LENGTHS = [50, 200]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build folder with three recipes planned and evaluated, with weights that have learned nothing."""
    folder = tmp_path_factory.mktemp("compared")
    bits = np.random.default_rng(0).integers(0, 256, (20, 800), dtype=np.uint8)
    np.save(folder / "bits.npy", bits)
    (folder / "plan" / "comparisons").mkdir(parents=True)
    data = None
    for cell, name in zip(CELLS, RECIPES, strict=True):
        plan = composed_plan(f"recipe={name}")
        if data is None:
            made = AddingProblemReader("bits.npy", LENGTHS).samples(folder, plan.data.fields)["train"]
            assert isinstance(made, ArraySamples)
            write_samples(
                dict.fromkeys(["train", "validation", "test"], made),
                replace(plan.data, splits={}),
                folder / "shards",
            )
            data = ShardSet.open(folder / "shards")
        (folder / "plan" / f"{name}.yaml").write_text(plan_text(plan.to_plain()))
        torch.manual_seed(0)
        task = SequenceRegression(RecurrentRegressor(2, 1, 6, cell=cell), target="sum")
        (folder / "evaluate" / name).mkdir(parents=True)
        evaluate(task, data, plan).save(folder / "evaluate" / name)
        (folder / "train" / name).mkdir(parents=True)
        summary = {"identity": "ab" * 32, "steps": 10, "epochs": 1, "seconds": 125.0}
        (folder / "train" / name / "summary.json").write_text(json.dumps(summary))
    return folder


@pytest.fixture
def compared(evaluated: Path, tmp_path: Path) -> Path:
    """A copy of it, to change, with the comparisons of these recipes."""
    build = Path(shutil.copytree(evaluated, tmp_path / "build"))
    for name in ("long_memory", "gradient_through_time"):
        shutil.copy(CONF / "comparison" / f"{name}.yaml", build / "plan" / "comparisons")
    return build


def read(build: Path) -> Comparisons:
    return read_comparisons(build, read_recipes(build))


def change(build: Path, name: str, **changes: object) -> None:
    path = build / "plan" / "comparisons" / f"{name}.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | changes))


def figures(build: Path, recipe: str, file: str = "metrics") -> dict:
    return json.loads((build / "evaluate" / recipe / f"{file}.json").read_text())


def test_a_line_and_a_row_of_each_recipe(compared: Path) -> None:
    gradients, errors = read(compared).shown
    for recipe, (shown, cells, expected), line in zip(RECIPES, errors.rows, errors.chart.series, strict=True):  # type: ignore[union-attr]
        assert shown.name == line.name == recipe
        found = figures(compared, recipe)
        assert [cell.value for cell in cells] == [found["error"], found["mean_squared_error"]]
        assert line.points == [(50, found["error_50"]), (200, found["error_200"])]
        assert expected == ("0.9500" if recipe == "adding_elman" else "0.2000")
        named = next(one for one in gradients.chart.series if one.name == recipe)  # type: ignore[union-attr]
        (chart,) = (
            one for one in figures(compared, recipe, "charts") if one["name"] == "gradient_through_time"
        )
        (own,) = (one for one in chart["series"] if one["name"] == "200 steps")
        assert [list(point) for point in named.points] == own["points"]
    assert errors.judged_by == "error" and not errors.waiting and not errors.command


def test_the_best_is_marked_by_what_its_evaluator_calls_better(compared: Path) -> None:
    for recipe, error in zip(RECIPES, (0.3, 0.1, 0.1), strict=True):
        path = compared / "evaluate" / recipe / "metrics.json"
        path.write_text(json.dumps(figures(compared, recipe) | {"error": error, "mean_squared_error": 12.5}))
    errors = read(compared).shown[1]
    assert [[cell.best for cell in cells] for _, cells, _ in errors.rows] == [
        [False, False],
        [True, False],
        [True, False],
    ]
    assert [cells[1].text for _, cells, _ in errors.rows] == ["12.50"] * 3


def test_the_page_has_table_legend_and_chart(compared: Path) -> None:
    recipes = read_recipes(compared)
    text = render(recipes, comparisons=read_comparisons(compared, recipes))
    page = Page(text)
    assert page.text.count("The adding problem by three cells") == 2, "in the index and above the table"
    charts = [svg["aria-label"] or "" for svg in page.all("svg")]
    assert sum(all(f"{name} (2 points)" in chart for name in RECIPES) for chart in charts) == 1
    begin = text.index('<h3 id="comparison:long_memory">')
    section = text[begin : text.index("</figure>", begin)]
    swatches = re.findall(r'class="swatch (s\d)"></span>(?:<a href="#(\w+)">)?(\w+)', section)
    places = [("s0", "adding_lstm"), ("s1", "adding_gru"), ("s2", "adding_elman")]
    assert [(place, name) for place, _, name in swatches] == places * 2, "in the table and in the legend"
    assert all(f'<g class="{place}"><path' in section for place, _ in places)
    assert "2 min 05 s" in section and "name-of" not in section
    for recipe in recipes:
        assert f"{recipe.num_parameters:,}" in section and f"{recipe.multiply_adds:,}" in section


def test_what_is_not_evaluated_waits_and_keeps_the_others_colours(compared: Path) -> None:
    shutil.rmtree(compared / "evaluate" / "adding_lstm")
    shutil.rmtree(compared / "train" / "adding_lstm")
    found = read(compared)
    errors = found.shown[1]
    assert [recipe.name for recipe in errors.waiting] == ["adding_lstm"]
    assert [cell.value for cell in errors.rows[0][1]] == [None, None]
    text = render(read_recipes(compared), comparisons=found)
    page = Page(text)
    line = next(line for line in page.text.splitlines() if "Waiting for adding_lstm" in line)
    assert shlex.split(line.rpartition(":")[2]) == ["dvc", "repro", "promote@adding_lstm"]
    assert 'class="swatch s1"></span>adding_gru' in text and "adding_lstm (0 points)" not in text
    assert any(link["href"] == "#other:adding_lstm" for link in page.all("a"))


def test_a_comparison_of_which_nothing_is_evaluated_is_named(compared: Path) -> None:
    shutil.rmtree(compared / "evaluate")
    found = read(compared)
    assert not found.shown and [title for title, _ in found.waiting] == [
        "How far the gradient comes through time",
        "The adding problem by three cells",
    ]
    page = Page(render(read_recipes(compared), comparisons=found))
    assert "2 comparisons, of recipes that are not evaluated here" in page.text
    assert "dvc repro promote@adding_lstm" in page.text and ", ".join(RECIPES) in page.text


def test_an_evaluation_without_the_line_is_named(compared: Path) -> None:
    change(compared, "gradient_through_time", series="400 steps")
    path = compared / "evaluate" / "adding_gru" / "charts.json"
    path.write_text("[]")
    gradients, errors = read(compared).shown
    assert gradients.chart is None and gradients.without_chart == RECIPES
    assert errors.without_chart == ["adding_gru"] and errors.chart
    page = Page(render(read_recipes(compared), comparisons=read(compared)))
    assert "The evaluation of adding_gru has no such line." in page.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipes": ["adding_lstm", "adding_rnn"]}, "recipes: there is no recipe 'adding_rnn'"),
        ({"recipes": ["adding_lstm"]}, "recipes: 1 where two or more are compared"),
        ({"chart": "bleu_by_length"}, "chart: no evaluator of adding_lstm writes the chart 'bleu_by_length'"),
        ({"metrics": ["bleu"]}, "metrics: no evaluator of adding_lstm measures 'bleu'"),
    ],
)
def test_what_cannot_be_compared_is_refused(compared: Path, changes: dict, message: str) -> None:
    change(compared, "long_memory", **changes)
    with pytest.raises(UserError, match=rf"comparisons/long_memory\.yaml: {message}"):
        read(compared)


def test_what_validation_logged_is_laid_over_one_another(compared: Path) -> None:
    change(compared, "long_memory", chart=None, curve="validation/error")
    for place, recipe in enumerate(RECIPES[:2]):
        logged = {"validation/error": [[5, 0.9 - place / 10], [10, 0.8 - place / 10]]}
        (compared / "train" / recipe / "history.json").write_text(json.dumps(logged))
    errors = read(compared).shown[1]
    assert errors.chart and (errors.chart.x, errors.chart.y) == ("epochs", "validation error")
    assert [line.points for line in errors.chart.series] == [
        [(0.5, 0.9), (1.0, 0.8)],
        [(0.5, pytest.approx(0.8)), (1.0, pytest.approx(0.7))],
        [],
    ]
    assert errors.without_chart == ["adding_elman"]


def test_hostile_words_stay_text(compared: Path) -> None:
    change(compared, "long_memory", title=HOSTILE, caption=HOSTILE)
    for recipe in RECIPES:
        charts = [
            chart | {"title": HOSTILE, "caption": HOSTILE} for chart in figures(compared, recipe, "charts")
        ]
        (compared / "evaluate" / recipe / "charts.json").write_text(json.dumps(charts))
    recipes = read_recipes(compared)
    page = Page(render(recipes, comparisons=read_comparisons(compared, recipes)))
    assert {tag for tag, _ in page.elements} <= TAGS
    assert {name for _, attributes in page.elements for name in attributes} <= ATTRIBUTES
    assert page.text.count(HOSTILE) >= 5
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
