"""Hydra's override syntax as a space."""

import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import given
from hypothesis import strategies as st

from modules.configuration.composition.conf_contents import names
from modules.configuration.errors import UserError
from modules.sweeps.search.search_space import Axis, Space, from_points, name_of, overrides_of, parse


@pytest.mark.parametrize(
    ("override", "axis"),
    [
        ("seed=1,2", Axis("seed", ("1", "2"))),
        ("seed=range(0,6,2)", Axis("seed", ("0", "2", "4"))),
        ("model.dropout=range(0,1,0.25)", Axis("model.dropout", ("0.0", "0.25", "0.5", "0.75"))),
        ("+task.label_smoothing=choice(0,0.1)", Axis("+task.label_smoothing", ("0", "0.1"))),
        ("model.num_filters=[8,16],[16,32]", Axis("model.num_filters", ("[8,16]", "[16,32]"))),
        ("model.pooling='a,b',c", Axis("model.pooling", ("'a,b'", "c"))),
        ("optimizer=glob(*)", Axis("optimizer", tuple(names("optimizer")))),
        ("model.dropout=interval(0,1)", Axis("model.dropout", None, 0.0, 1.0)),
        ("optimizer.lr=tag(log,interval(1e-4,1e-1))", Axis("optimizer.lr", None, 1e-4, 1e-1, log=True)),
        ("model.kernel_size=int(interval(3,7))", Axis("model.kernel_size", None, 3, 7, integer=True)),
        ("x=int(tag(log,interval(1,64)))", Axis("x", None, 1, 64, log=True, integer=True)),
    ],
)
def test_syntax(override: str, axis: Axis) -> None:
    assert parse([override, "recipe=lenet", "hydra/sweeper=ray"]) == Space((axis,), ("recipe=lenet",))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("seed=[1", "cannot be read"),
        ("x=interval(2,1)", "nothing between 2.0 and 1.0"),
        ("x=interval(1,1)", "nothing between"),
        ("x=interval(0,inf)", "nothing between"),
        ("x=tag(log,interval(0,1))", "0.0 has no logarithm"),
        ("x=tag(lin,interval(0,1))", "of tags there is log alone"),
        ("x=tag(log,choice(1,2))", "of tags there is log alone"),
        ("x=shuffle(1,2)", "another order each time"),
        ("x=range(3,3)", "holds no value"),
        ("x=range(0,1,0.0)", "step"),
        ("optimizer=glob(nothing*)", "holds no value"),
    ],
)
def test_what_is_no_space(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse([override])


def test_the_last_of_a_key_counts() -> None:
    space = parse(["seed=1,2", "optimizer.lr=0.1", "seed=3"])
    assert space == Space((), ("seed=3", "optimizer.lr=0.1"))


def test_a_grid_is_hydras(tmp_path_factory: pytest.TempPathFactory) -> None:
    overrides = ["recipe=lenet", "optimizer=sgd,adamw", "seed=range(3)", "+task.label_smoothing=0,0.1"]
    ours = [sorted(["recipe=lenet", *overrides_of(point)]) for point in parse(overrides).grid()]
    parsed = OverridesParser.create().parse_overrides(overrides)
    (theirs,) = BasicSweeper.split_arguments(parsed, None)
    assert ours == [sorted(point) for point in theirs]
    assert parse(overrides).size == len(ours) == 12


def test_listed_points_keep_apart_what_differs() -> None:
    points = [["recipe=lenet", f"seed={seed}", "~model.dropout"] for seed in (1, 2)]
    space = from_points(points)
    assert space.fixed == ("recipe=lenet", "~model.dropout") and space.size == 2
    assert space.points == ({"seed": "1"}, {"seed": "2"})
    assert space.varied() == (Axis("seed", ("1", "2")),)


@given(
    low=st.floats(1e-12, 1e6),
    width=st.floats(1e-3, 1e6),
    share=st.floats(0, 1),
    integer=st.booleans(),
)
def test_a_number_is_what_its_text_says_and_inside(
    low: float, width: float, share: float, integer: bool
) -> None:
    low, high = (int(low), int(low + width) + 1) if integer else (low, low + width)
    axis = Axis("x", None, low, high, integer=integer)
    value = axis.rounded(low + share * (high - low))
    text = axis.text(low + share * (high - low))
    assert float(text) == value and low <= value <= high
    assert len(text.strip("-0.").partition("e")[0].replace(".", "")) <= 6 or value in (low, high) or integer
    (parsed,) = OverridesParser.create().parse_overrides([f"x={text}"])
    assert parsed.value() == value


@pytest.mark.parametrize(
    ("values", "is_real", "ends"),
    [
        (("0.1", "1e-3", "1"), True, ("1e-3", "1")),
        (("3", "20", "5"), False, ("3", "20")),
        (("sgd", "adamw"), False, ("sgd", "adamw")),
        (("[1]", "[2]"), False, ("[1]", "[2]")),
        (("null", "0.5"), False, ("null", "0.5")),
    ],
)
def test_which_values_are_real_numbers(values: tuple[str, ...], is_real: bool, ends: tuple[str, ...]) -> None:
    axis = Axis("x", values)
    assert axis.is_real is is_real and axis.ends == ends


@pytest.mark.parametrize(
    ("point", "name"),
    [
        ({"optimizer.lr": "0.00229054", "model.hidden_sizes": "[256]"}, "lr=0.002291 hidden_sizes=[256]"),
        ({"+task.label_smoothing": "0.1", "seed": "1"}, "label_smoothing=0.1 seed=1"),
        ({"optimizer.lr": "1e-3", "schedule.lr": "0.5"}, "optimizer.lr=1e-3 schedule.lr=0.5"),
        ({"trainer.max_steps": "1234567890"}, "max_steps=1234567890"),
    ],
)
def test_a_point_is_named_by_the_ends_of_its_keys(point: dict[str, str], name: str) -> None:
    assert name_of(point) == name
