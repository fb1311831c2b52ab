"""Forms of sequence learning: every task says its own, and the table has its recipes, run or not."""

import json
import pkgutil
from pathlib import Path
from typing import get_args

import pytest

from modules.configuration.plans.plan_files import plan_text
from modules.configuration.static_analysis.class_attributes import sequence_form
from modules.configuration.static_analysis.definitions import ROOT
from modules.report.page import render
from modules.report.reading import read_recipes
from modules.report.sequence_forms import FORMS, sequence_forms
from modules.tasks.task import SequenceForm, Task
from tests.plans import composed_plan
from tests.report.test_page import Page

TASKS = sorted((ROOT / "conf" / "task").glob("*.yaml"))
PLANNED = ("accents", "adding_gru", "number_plates", "neuron")


@pytest.fixture
def planned(build: Path) -> Path:
    """A build folder with two trained recipes, and four that are planned."""
    for name in PLANNED:
        (build / "plan" / f"{name}.yaml").write_text(plan_text(composed_plan(f"recipe={name}").to_plain()))
    return build


@pytest.mark.parametrize("path", TASKS, ids=lambda path: path.stem)
def test_source_says_of_a_task_what_its_class_says(path: Path) -> None:
    target = next(
        line.removeprefix("_target_: ").strip()
        for line in path.read_text().splitlines()
        if line.startswith("_target_: ")
    )
    task = pkgutil.resolve_name(target)
    assert issubclass(task, Task) and (task.sequence_form is None) == (task.inputs_and_outputs is None)
    declared = None if task.sequence_form is None else (task.sequence_form, *(task.inputs_and_outputs or ()))
    assert sequence_form(target) == declared
    assert task.sequence_form in (None, *FORMS)


def test_the_table_knows_every_form() -> None:
    assert get_args(SequenceForm) == FORMS
    assert sequence_form("modules.tasks.classification.Classification") is None
    assert sequence_form("modules.tasks.nothing.Nothing") is None


def test_recipes_stand_by_form_and_by_what_they_learn(planned: Path) -> None:
    found = {
        form: {(ends.goes_in, ends.comes_out): [one.name for one in ends.recipes] for ends in some}
        for form, some in sequence_forms(read_recipes(planned))
    }
    assert found == {
        "many to one": {("a sequence of numbers", "the numbers that belong to it"): ["adding_gru"]},
        "many to many": {("an image or a sound", "its text, the alignment unknown"): ["number_plates"]},
        "synchronised many to many": {("a text, or a clip", "a label for each step"): ["accents"]},
    }
    assert sequence_forms([one for one in read_recipes(planned) if one.name in ("net", "neuron")]) == []


def test_the_page_shows_what_was_run_and_what_was_not(planned: Path) -> None:
    for verb in ("train", "evaluate"):
        (planned / verb / "net").rename(planned / verb / "accents")
    metrics = planned / "evaluate/accents/metrics.json"
    metrics.write_text(json.dumps(json.loads(metrics.read_text()) | {"changed_accuracy": 0.9515}))
    text = render(read_recipes(planned))
    begin = text.index('<section aria-labelledby="forms">')
    page = Page(text[begin : text.index("</section>", begin) + len("</section>")])
    words = " ".join(page.text.split())
    assert "accents changed accuracy 0.9515 ✗ ≥ 0.9600" in words
    assert "adding_gru error not run ≤ 0.2000" in words
    links = [link["href"] for link in page.all("a")]
    assert links == ["#other:adding_gru", "#other:number_plates", "#accents"]
    ids = [attributes.get("id") for _, attributes in Page(text).elements]
    assert all((link or "").removeprefix("#") in ids for link in links)


def test_without_sequences_there_is_no_table(trained: Path) -> None:
    assert "Forms of sequence learning" not in render(read_recipes(trained))
