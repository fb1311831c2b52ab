"""Comparisons: all of conf/comparison hold, and a fault is one line that names file and key."""

from pathlib import Path

import pytest
import yaml

from modules.configuration.composition.comparison_files import comparison, comparison_files
from modules.configuration.composition.conf_contents import names
from modules.configuration.composition.key_locations import CONF
from modules.configuration.errors import UserError
from tests.plans import recipe_configuration

CLASSES = {
    "words": [
        "modules.tasks.sequence_to_sequence.SequenceToSequence",
        "modules.evaluation.translation_evaluator.TranslationEvaluator",
    ],
    "others": [
        "modules.tasks.sequence_to_sequence.SequenceToSequence",
        "modules.evaluation.translation_evaluator.TranslationEvaluator",
    ],
    "classes": [
        "modules.tasks.text_classification.TextClassification",
        "modules.evaluation.classification_evaluator.ClassificationEvaluator",
        "modules.evaluation.text_classification_evaluator.TextClassificationEvaluator",
    ],
}
SETTINGS = {
    "name": "two",
    "title": "Two",
    "caption": "One beside the other.",
    "recipes": ["words", "others"],
    "chart": "bleu_by_length",
    "metrics": ["bleu", "chrf"],
}


def written(folder: Path, **changes: object) -> Path:
    path = folder / "comparison" / "two.yaml"
    path.parent.mkdir()
    path.write_text(yaml.safe_dump(SETTINGS | changes))
    return path


def test_what_the_yard_compares_can_be_compared() -> None:
    compared = {
        recipe
        for path in (CONF / "comparison").glob("*.yaml")
        for recipe in yaml.safe_load(path.read_text())["recipes"]
        if recipe in names("recipe")
    }
    classes = {}
    for recipe in compared:
        config = recipe_configuration(recipe)
        classes[recipe] = [node["_target_"] for node in (config["task"], *config["evaluation"])]
    files = comparison_files(names("comparison"), classes)
    assert sorted(files) == [f"comparisons/{name}.yaml" for name in names("comparison")]


def test_a_comparison_is_planned_as_it_stands_and_read_again(tmp_path: Path) -> None:
    path = written(tmp_path)
    found = comparison(path, CLASSES)
    assert vars(found) == SETTINGS | {"series": None, "curve": None}
    (text,) = comparison_files(["two"], CLASSES, tmp_path).values()
    path.write_text(text)
    assert comparison(path, CLASSES) == found


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"recipes": ["words", "other"]}, r"recipes: there is no recipe 'other'\. Did you mean others\?"),
        ({"recipes": ["words"]}, r"recipes: 1 where two or more are compared\. Name another recipe"),
        ({"recipes": []}, r"recipes: 0 where two or more are compared"),
        ({"recipes": ["words", "words"]}, r"recipes: 'words' is there twice"),
        (
            {"chart": "bleu_by_lenght"},
            r"chart: no evaluator of words writes the chart 'bleu_by_lenght'\. Did you mean bleu_by_length\?",
        ),
        (
            {"recipes": ["words", "classes"]},
            r"chart: no evaluator of classes writes the chart 'bleu_by_length'\. Leave chart out",
        ),
        (
            {"recipes": ["words", "classes"], "chart": None},
            r"metrics: no evaluator of classes measures 'bleu'",
        ),
        ({"curve": "validation/loss"}, r"curve: 'validation/loss' beside a chart\. Leave one of them out"),
        (
            {"chart": None, "curve": "validation/los"},
            r"curve: the task of words logs no 'validation/los'\. Did you mean validation/loss\?",
        ),
        ({"metrics": ["blue"]}, r"metrics: no evaluator of words measures 'blue'\. Did you mean bleu\?"),
        ({"metrics": []}, r"metrics: names none"),
        ({"chart": None, "series": "greedy"}, r"series: 'greedy' of no chart"),
        ({"name": "three"}, r"name: 'three' is not the file's\. Write name: two"),
        ({"recepies": []}, r"recepies: .*Did you mean recipes"),
        ({"metrics": "bleu"}, r"metrics: 'bleu'"),
    ],
)
def test_a_fault_is_one_line_that_names_file_and_key(tmp_path: Path, changes: dict, message: str) -> None:
    path = written(tmp_path, **changes)
    with pytest.raises(UserError, match=rf"^{path}: {message}") as caught:
        comparison(path, CLASSES)
    assert "\n" not in str(caught.value)
