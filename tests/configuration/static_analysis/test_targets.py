"""Building from configuration: hostile targets are refused before anything is imported or run."""

import functools
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from modules.configuration.composition.compose import compose
from modules.configuration.errors import ConfigError, UserError
from modules.configuration.static_analysis import targets
from modules.configuration.static_analysis.targets import build, check_targets, own_allowed_targets
from modules.configuration.yaml_files import read_yaml, to_yaml

LINEAR = {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 3}

REFUSED = [
    "os.system",
    "builtins.eval",
    "subprocess.run",
    "modules",
    "modulesx.bricks.dense.DenseLayer",
    "torch.load",
    "torch.hub.load",
    "torch.nnx.Linear",
    "modules.configuration.static_analysis.targets.importlib.import_module",
    "modules.configuration.static_analysis.definitions.importlib.util.find_spec",
    "modules.configuration.command.os.system",
    "modules.configuration.yaml_files.os.unlink",
    "modules.models.convolutional.lenet.nn.modules.module.torch.load",
    "pipelines.plan.sys.exit",
    "pipelines.plan.hashlib.sha256",
    "torch.nn.modules.module.torch.load",
    "torch.nn.modules.module.functools.partial",
    "torch.nn.modules.module.warnings.os.system",
    "torch.nn.Module.__init__",
    "torch.nn.Linear.__class__",
    "modules.configuration.static_analysis.targets.__builtins__",
    "modules.configuration.static_analysis.targets._import",
    "modules.configuration.yaml_files.write_if_changed",
    "pipelines.plan.main",
    "modules.configuration.names._ALLOWED",
    "modules.configuration.static_analysis.definitions.ROOT",
    "modules..os.system",
    "modules.os; import os",
    ".modules.x",
    "modules.",
    "",
    "torch.nn.Nothing",
    None,
    3,
    ["torch.nn.Linear"],
]


@pytest.mark.parametrize("target", REFUSED, ids=map(str, REFUSED))
@pytest.mark.parametrize(
    "wrap",
    [
        lambda node: node,
        lambda node: {**node, "_partial_": True},
        lambda node: {**LINEAR, "bias": node},
        lambda node: {**LINEAR, "bias": [[{"a": {"b": node}}]]},
        lambda node: {**LINEAR, "_args_": [node]},
        lambda node: {**LINEAR, "_partial_": True, "bias": {**node, "_partial_": True}},
    ],
    ids=["bare", "partial", "nested", "deep", "args", "nested-partial"],
)
def test_target_is_refused_in_one_line(target: Any, wrap: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def imported(name: str) -> None:
        raise AssertionError(f"{name} was imported")

    monkeypatch.setattr(targets.importlib, "import_module", imported)
    with pytest.raises(UserError) as caught:
        build(wrap({"_target_": target, "command": "touch hostile"}))
    assert "\n" not in str(caught.value)


def test_refusal_comes_before_any_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "hostile_module.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Thing: pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(UserError, match=r"hostile_module\.Thing is not allowed"):
        build({"_target_": "hostile_module.Thing"})
    assert "hostile_module" not in sys.modules and not (tmp_path / "ran").exists()


def test_an_object_that_is_not_what_its_source_shows_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import modules.bricks.dense as dense

    monkeypatch.setattr(dense, "DenseLayer", functools.partial(print))
    with pytest.raises(UserError, match="is not the class or function that its source shows"):
        build({"_target_": "modules.bricks.dense.DenseLayer"})


@pytest.mark.parametrize("mark", ["_args_", "_recursive_", "_convert_", "_mode_"])
def test_other_marks_are_refused(mark: str) -> None:
    with pytest.raises(ConfigError, match=mark):
        check_targets("model", {**LINEAR, mark: [1]})


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    ),
    st.integers(0, 5),
)
def test_a_hostile_node_is_found_wherever_it_hides(surroundings: Any, depth: int) -> None:
    node: Any = {"_target_": "os.system", "command": "true"}
    for level in range(depth):
        node = [surroundings, node] if level % 2 else {"other": surroundings, "inner": node}
    with pytest.raises(ConfigError, match=r"is not allowed|dotted name"):
        check_targets("model", node)


def test_builds_nested_nodes_and_passes_objects_through() -> None:
    weights = iter([nn.Parameter(torch.zeros(2))])
    optimizer = build({"_target_": "torch.optim.SGD", "lr": 0.5}, params=weights)
    assert isinstance(optimizer, torch.optim.SGD) and optimizer.defaults["lr"] == 0.5
    task = build(compose(["recipe=lenet_digits"])["task"], model=nn.Identity())
    assert type(task.augmentation).__name__ == "RandomShift"


def test_partial_leaves_the_call_for_later() -> None:
    later = build({**LINEAR, "_partial_": True, "out_features": 7})
    assert later(bias=False).weight.shape == (7, 2)


def test_a_constructors_refusal_names_the_node() -> None:
    with pytest.raises(UserError, match=r"torch\.optim\.SGD cannot be built: Invalid learning rate: -1"):
        build({"_target_": "torch.optim.SGD", "lr": -1}, params=[nn.Parameter(torch.zeros(1))])
    with pytest.raises(UserError, match=r"torch\.nn\.Linear cannot be built: .*unexpected keyword"):
        build({**LINEAR, "sizes": 3})


def test_an_own_prefix_must_be_a_package_name(tmp_path: Path) -> None:
    for text in ("[os system]", "['']", "[1]", "os", "['*']"):
        path = tmp_path / "config.yaml"
        path.write_text(f"allowed_targets: {text}\n")
        if text == "os":
            continue
        with pytest.raises(UserError, match="is no package name"):
            own_allowed_targets(path)


def test_an_allowed_prefix_of_ones_own_builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my_package_for_test.py").write_text(
        "class Thing:\n    def __init__(self, size: int): self.size = size\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    root_file = tmp_path / "config.yaml"
    root_file.write_text("allowed_targets: [my_package_for_test]\n")
    monkeypatch.setattr(targets.allowed_prefixes, "__defaults__", (root_file,))
    assert build({"_target_": "my_package_for_test.Thing", "size": 3}).size == 3


@pytest.mark.parametrize(
    "text",
    [
        "_target_: os.system\ncommand: touch ran\n",
        "model: {layers: [{_target_: builtins.exec}]}\n",
        "a: &a [*a]\n",
        "a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n",
        "!!python/object/apply:os.system ['touch ran']\n",
        "a: !!python/name:os.system\n",
        "[" * 5000,
        "- 1\n",
        "a: [1\n",
        "",
        "\0",
    ],
)
def test_a_hostile_file_is_refused_in_one_line(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "plan.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        read_yaml(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == [path]


def test_a_plan_cannot_allow_itself_anything(tmp_path: Path) -> None:
    from modules.configuration.plans.plan_files import read_plan

    config = compose(["recipe=neuron"])
    path = tmp_path / "plan.yaml"
    path.write_text(to_yaml({**config, "allowed_targets": ["os."], "code": {}, "cost": {}}))
    with pytest.raises(UserError, match="allowed_targets: may be set"):
        read_plan(path)
    config["model"] = {"_target_": "os.system", "command": "true"}
    path.write_text(to_yaml({**config, "allowed_targets": ["os."], "code": {}, "cost": {}}))
    with pytest.raises(UserError, match=r"os\.system is not allowed"):
        read_plan(path)
