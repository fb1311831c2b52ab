"""Plans on disk."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from modules.configuration import yaml_files
from modules.configuration.errors import UserError
from modules.configuration.plans.plan_files import plan_text, read_plan
from modules.configuration.yaml_files import read_yaml, to_yaml, write_if_changed
from tests.plans import composed_plan

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


@given(st.dictionaries(st.text(), PLAIN))
def test_plain_values_come_back_as_they_were(content: dict[str, Any]) -> None:
    assert yaml.safe_load(to_yaml(content)) == content


def test_shared_values_are_written_out(tmp_path: Path) -> None:
    shape = [1, 28, 28]
    path = tmp_path / "a.yaml"
    path.write_text(to_yaml({"a": shape, "b": shape}))
    assert read_yaml(path) == {"a": shape, "b": shape}


def test_a_file_is_written_only_where_it_differs(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.yaml"
    assert write_if_changed(path, "a: ä\n")
    os.utime(path, (1, 1))
    assert not write_if_changed(path, "a: ä\n") and path.stat().st_mtime == 1
    assert write_if_changed(path, "a: 2\n") and path.read_text() == "a: 2\n"
    assert list(path.parent.iterdir()) == [path]


def test_a_failed_write_leaves_the_old_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("old")

    def full(descriptor: int) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(yaml_files.os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        write_if_changed(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_plan_is_checked_like_a_configuration(tmp_path: Path) -> None:
    path = tmp_path / "plan.yaml"
    planned = composed_plan("recipe=neuron")
    plan = planned.to_plain()
    path.write_text(to_yaml(plan))
    assert read_plan(path) == planned

    def inside(section: str, **values: Any) -> dict[str, Any]:
        return {section: plan[section] | values}

    for change, message in (
        ({"seed": "x"}, "seed: 'x'"),
        ({"sed": 1}, "Did you mean seed"),
        ({"name": "../../escape"}, "is no name for a recipe"),
        ({"code": None}, "is no plan of a recipe: it has no code"),
        ({"code": {}}, "the plan has no code and cost"),
        ({"cost": {**plan["cost"], "num_parameters": "9"}}, "cost.num_parameters is '9', no whole number"),
        ({"model": plan["model"] | {"num_clases": 1}}, "model.num_clases"),
        (inside("runtime", num_loader_workers=5000), "runtime.num_loader_workers: 5000 is above 256"),
        (inside("trainer", max_epochs=10**18), "trainer.max_epochs: 1000000000000000000 is above 10000000"),
        (inside("trainer", gradient_clip_norm=float("nan")), "nan is no number above 0"),
        (inside("trainer", without_classes=[-1]), "trainer.without_classes: -1 is below 0"),
        (inside("tracking", drain_timeout_s=float("inf")), "inf is above 86400"),
        (inside("tracking", uri="ftp://a/b"), "tracking.uri: ftp://a/b is of no tracker's kind"),
        (inside("runtime", storage=" "), "runtime.storage: ' ' names no folder"),
        (inside("code", files=[1]), "the code of the plan is not whole"),
        (inside("cost", num_parameters=-1), "cost.num_parameters is -1, no whole number from 0 on"),
    ):
        path.write_text(to_yaml(plan | change))
        with pytest.raises(UserError, match=message) as caught:
            read_plan(path)
        assert str(caught.value).startswith(str(path))
    with pytest.raises(UserError, match=r"none.yaml is not there. Write it: python -m pipelines.plan --all"):
        read_plan(tmp_path / "none.yaml")


def test_a_plan_that_was_edited_is_refused(tmp_path: Path) -> None:
    path, planned = tmp_path / "plan.yaml", composed_plan("recipe=neuron")
    text = plan_text(planned.to_plain(), "# A word before it.\n")
    path.write_text(text)
    assert read_plan(path) == planned
    path.write_text(text.replace("seed: 0", "seed: 1"))
    with pytest.raises(UserError, match="was edited by hand"):
        read_plan(path)


def test_a_plan_with_phases_comes_back(tmp_path: Path) -> None:
    planned = composed_plan("recipe=lenet", "+phases.before={trainer: {max_epochs: 1}}")
    plan = planned.to_plain()
    assert set(plan["phases"]["before"]) == {"trainer", "code", "cost"}
    (tmp_path / "a.yaml").write_text(to_yaml(plan))
    found = read_plan(tmp_path / "a.yaml")
    assert found == planned and found.to_plain() == plan
    assert found.before["before"].trainer.max_epochs == 1
    assert [run.name for run in found.all_runs] == ["lenet.before", "lenet"]
    plan["phases"]["before"]["cod"] = 1
    (tmp_path / "a.yaml").write_text(to_yaml(plan))
    with pytest.raises(UserError, match=r"phases\.before\.cod"):
        read_plan(tmp_path / "a.yaml")
