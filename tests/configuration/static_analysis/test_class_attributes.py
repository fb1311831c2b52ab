"""What tasks and evaluators measure, read from source."""

import pytest

from modules.configuration.static_analysis import class_attributes as module
from modules.configuration.static_analysis.class_attributes import (
    evaluator_metrics,
    serves,
    validation_metrics,
)
from modules.configuration.static_analysis.definitions import ROOT
from modules.evaluation.reconstruction_evaluator import ReconstructionEvaluator
from modules.tasks.classification import Classification


def test_source_says_what_the_class_says() -> None:
    assert (
        validation_metrics("modules.tasks.classification.Classification") == Classification.validation_metrics
    )
    assert validation_metrics("modules.tasks.nothing.Nothing") == {}
    assert validation_metrics("torch.nn.Linear") == {}
    name = "modules.evaluation.reconstruction_evaluator.ReconstructionEvaluator"
    assert evaluator_metrics(name) == ReconstructionEvaluator.metrics
    assert evaluator_metrics("torch.nn.Linear") == {}
    assert serves("modules.tasks.distillation.Distillation"), "its base says so"
    assert not serves("modules.tasks.task.Task")


def test_a_task_inherits_what_it_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    import ast

    from modules.configuration.static_analysis.definitions import Definition, Module

    source = "from modules.tasks.classification import Classification\nclass Own(Classification): pass\n"
    made = Module("made", ROOT / "made.py", ast.parse(source))
    (_, node) = made.tree.body
    assert isinstance(node, ast.ClassDef)
    monkeypatch.setattr(module, "define", lambda target: Definition("Own", made, node))
    assert validation_metrics("made.Own") == Classification.validation_metrics
