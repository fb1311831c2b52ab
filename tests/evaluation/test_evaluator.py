"""Several evaluators as one, and what they may not do."""

import ast
import math
from pathlib import Path
from typing import Any, ClassVar

import pytest

from modules.configuration.errors import UserError
from modules.configuration.static_analysis.class_attributes import evaluator_charts
from modules.evaluation import evaluator
from modules.evaluation.evaluator import evaluate, merge
from modules.evaluation.findings import Chart, Findings
from tests.plans import composed_plan


class Split:
    num_samples = 7


class Data:
    def split(self, name: str) -> Split:
        assert name == "test"
        return Split()


class Task:
    def eval(self) -> "Task":
        return self


class Made:
    metrics: ClassVar[dict[str, str]] = {}

    def __init__(self, findings: Findings) -> None:
        self.findings = findings

    def evaluate(self, task: Any, data: Any, plan: Any) -> Findings:
        return self.findings


def found(monkeypatch: pytest.MonkeyPatch, *findings: Findings) -> Findings:
    """What evaluators that find this find together."""
    left = iter(findings)
    monkeypatch.setattr(evaluator, "build", lambda node: Made(next(left)))
    plan = composed_plan("recipe=student")
    nothing: Any = Data()
    task: Any = Task()
    return evaluate(task, nothing, plan)


def test_findings_are_put_together_in_the_order_of_the_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    charts = [Chart(name, name, "", "lines", "x", "y", []) for name in ("first", "second")]
    together = found(
        monkeypatch, Findings({"a": 1.0}, charts=charts[:1]), Findings({"b": 2.0}, charts=charts[1:])
    )
    assert together.metrics == {"a": 1.0, "b": 2.0, "num_samples": 7}
    assert together.charts == charts


def test_an_evaluator_may_count_its_own_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    assert found(monkeypatch, Findings({"num_samples": 3}), Findings()).metrics == {"num_samples": 3}


def test_a_figure_of_two_evaluators_names_both() -> None:
    same = Findings({"accuracy": 1.0})
    with pytest.raises(UserError, match=r"one\.Own and other\.Own both give the figure accuracy"):
        merge([("one.Own", same), ("other.Own", same)])
    chart = Findings(charts=[Chart("codes", "", "", "lines", "x", "y", [])])
    with pytest.raises(UserError, match=r"one\.Own and one\.Own both give the chart codes"):
        merge([("one.Own", chart), ("one.Own", chart)])


def test_a_figure_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="accuracy on the test split is nan, no number"):
        found(monkeypatch, Findings({"accuracy": math.nan}), Findings())


@pytest.mark.parametrize("module", sorted(Path(evaluator.__file__).parent.glob("*_evaluator.py")))
def test_an_evaluator_declares_the_charts_that_it_writes(module: Path) -> None:
    """Comparisons of recipes are checked by what is declared."""
    written, declared = set(), set()
    for node in ast.walk(ast.parse(module.read_text())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Chart":
            named = [keyword.value for keyword in node.keywords if keyword.arg == "name"]
            written.add(ast.literal_eval([*node.args, *named][0]))
        if isinstance(node, ast.ClassDef):
            declared |= set(evaluator_charts(f"modules.evaluation.{module.stem}.{node.name}"))
    assert declared == written
