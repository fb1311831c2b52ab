"""Sections and constructors: what fits, what does not, and that no key lies idle."""

import ast
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.configuration.composition.compose import compose
from modules.configuration.errors import ConfigError, UserError
from modules.configuration.schema import data_settings, settings
from modules.configuration.schema.data_settings import DataSettings, FieldSettings, SplitSettings
from modules.configuration.schema.settings import read
from modules.configuration.schema.trainer_settings import TrainerSettings
from modules.configuration.static_analysis.definitions import ROOT, Module
from modules.configuration.static_analysis.node_check import check_node
from modules.configuration.static_analysis.value_check import check_value

SECTIONS = [
    item
    for module in (settings, data_settings)
    for item in vars(module).values()
    if isinstance(item, type) and is_dataclass(item)
]
MODULE = Module(
    "made", Path("made.py"), ast.parse("Size = int | list[int]\nclass Thing: pass\nfrom torch import nn")
)


def words_of_code() -> set[str]:
    """Every attribute and text in the code, but for the schema itself."""
    words: set[str] = set()
    for package in ("modules", "pipelines"):
        for path in (ROOT / package).rglob("*.py"):
            if path.name in ("settings.py", "data_settings.py"):
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Attribute):
                    words.add(node.attr)
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    words.add(node.value)
    return words


def test_every_key_of_the_schema_is_read_somewhere() -> None:
    words = words_of_code()
    keys = {(section.__name__, field.name) for section in SECTIONS for field in fields(section)}
    # shards.json keeps a field's units, for people.
    idle = {key for key in keys - {("FieldSettings", "units")} if key[1] not in words}
    assert not idle


def test_read_makes_the_dataclasses() -> None:
    data = read(DataSettings, compose(["recipe=lenet_digits"])["data"], "data")
    assert isinstance(data.fields["image"], FieldSettings) and data.fields["image"].shape == [1, 28, 28]
    assert isinstance(data.splits["test"], SplitSettings) and data.splits["test"].from_ == "train"
    assert data.fields["image"].classes is None and len(data.fields["label"].classes or []) == 10


def test_read_names_the_key_from_the_root() -> None:
    trainer = compose(["recipe=lenet"])["trainer"]
    for change, key in (
        ({"max_epochs": "ten"}, "trainer.max_epochs"),
        ({"max_epochs": 0}, "trainer.max_epochs"),
        ({"epochs": 1}, "trainer.epochs"),
        ({"gradient_clip_norm": -1.0}, "trainer.gradient_clip_norm"),
    ):
        with pytest.raises(ConfigError) as caught:
            read(TrainerSettings, trainer | change, "trainer")
        assert caught.value.key == key
    del trainer["batch_size"]
    with pytest.raises(ConfigError, match=r"trainer\.batch_size: is missing"):
        read(TrainerSettings, trainer, "trainer")


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "int": st.integers(),
    "float": st.floats(allow_nan=False) | st.integers(),
    "str": st.text(),
    "bool": st.booleans(),
    "int | None": st.none() | st.integers(),
    "Optional[str]": st.none() | st.text(),
    "Union[int, str]": st.integers() | st.text(),
    "list[int]": st.lists(st.integers()),
    "Sequence[float | None]": st.lists(st.none() | st.floats(allow_nan=False)),
    "tuple[int, str]": st.tuples(st.integers(), st.text()).map(list),
    "tuple[int, ...]": st.lists(st.integers()),
    "dict[str, list[bool]]": st.dictionaries(st.text(), st.lists(st.booleans())),
    "Literal['a', 'b', 1]": st.sampled_from(["a", "b", 1]),
    "Size": st.integers() | st.lists(st.integers()),
    "Any": st.none() | st.integers() | st.lists(st.text()),
    "Thing": st.just({"_target_": "made.Thing"}),
    "nn.Module | None": st.none() | st.just({"_target_": "torch.nn.ReLU"}),
}


@given(st.data())
@pytest.mark.parametrize("annotation", VALUES)
def test_values_of_a_type_fit_it(annotation: str, data: st.DataObject) -> None:
    check_value("key", data.draw(VALUES[annotation]), ast.parse(annotation, mode="eval").body, MODULE)


@pytest.mark.parametrize(
    ("annotation", "value", "key"),
    [
        ("int", True, "key"),
        ("int", 1.5, "key"),
        ("int", None, "key"),
        ("float", "1", "key"),
        ("bool", 1, "key"),
        ("str", 1, "key"),
        ("int | None", "x", "key"),
        ("list[int]", 1, "key"),
        ("list[int]", [1, "x"], "key[1]"),
        ("list[list[int]] | None", [[1], [2, "x"]], "key[1][1]"),
        ("tuple[int, str]", [1], "key"),
        ("tuple[int, str]", [1, 2], "key[1]"),
        ("dict[str, int]", {"a": "x"}, "key.a"),
        ("Literal['a', 'b']", "c", "key"),
        ("Literal[1]", True, "key"),
        ("Size", "x", "key"),
        ("Thing", 3, "key"),
        ("nn.Module", "relu", "key"),
        ("float | Tensor", "x", "key"),
        ("'list[int]'", ["x"], "key[0]"),
    ],
)
def test_other_values_do_not(annotation: str, value: Any, key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_value("key", value, ast.parse(annotation, mode="eval").body, MODULE)
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("node", "message"),
    [
        ({"_target_": "torch.nn.Linear", "in_features": 1}, "out_features: is missing"),
        ({"_target_": "torch.nn.Linear", "in_feature": 1, "out_features": 1}, "Did you mean in_features"),
        ({"_target_": "torch.nn.Linear", "in_features": "a", "out_features": 1}, "in_features: 'a'"),
        ({"_target_": "torch.nn.ReLU", "inplac": True}, "Did you mean inplace"),
        ({"_target_": "torch.nn.Sequential", "layers": []}, "Sequential has no 'layers'"),
        ({"_target_": "torch.nn.CrossEntropyLoss", "reductio": 1}, "Did you mean reduction"),
        ({"_target_": "torch.nn.Liner"}, "Did you mean torch.nn.Linear"),
        ({"_target_": "torch.optim.lr_schedule.StepLR"}, "Did you mean torch.optim.lr_scheduler"),
        (
            {"_target_": "modules.training.schedules.WarmupCosine", "warmup": 1},
            "WarmupCosine has no 'warmup'",
        ),
        ([{"a": {"_target_": "torch.nn.ReLU", "x": 1}}], "ReLU has no 'x'"),
    ],
)
def test_constructors_are_checked_without_import(node: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_node("model", node)


def test_a_partial_node_may_leave_keywords_out() -> None:
    check_node("model", {"_target_": "torch.nn.Linear", "in_features": 1, "_partial_": True})


def test_a_window_of_a_stream_is_no_longer_than_a_sample() -> None:
    assert compose(["recipe=char_lstm", "trainer.order.window=3300"])
    problem = "trainer.order.window: 3301 steps, and a sample of king_james_bible has about 3300"
    with pytest.raises(UserError, match=problem):
        compose(["recipe=char_lstm", "trainer.order.window=3301"])
