"""What a task measures, read from source."""

import pytest

from modules.configuration.static_analysis import class_attributes as module
from modules.configuration.static_analysis.class_attributes import evaluated_by, measures
from modules.configuration.static_analysis.definitions import ROOT
from modules.tasks.classification import Classification


def test_source_says_what_the_class_says() -> None:
    assert measures("modules.tasks.classification.Classification") == Classification.measures
    assert measures("modules.tasks.nothing.Nothing") == {}
    assert measures("torch.nn.Linear") == {}
    assert evaluated_by("modules.tasks.classification.Classification") == Classification.evaluated_by
    assert evaluated_by("torch.nn.Linear") is None


def test_a_task_inherits_what_it_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    import ast

    from modules.configuration.static_analysis.definitions import Definition, Module

    source = "from modules.tasks.classification import Classification\nclass Own(Classification): pass\n"
    made = Module("made", ROOT / "made.py", ast.parse(source))
    (_, node) = made.tree.body
    assert isinstance(node, ast.ClassDef)
    monkeypatch.setattr(module, "define", lambda target: Definition("Own", made, node))
    assert measures("made.Own") == Classification.measures
