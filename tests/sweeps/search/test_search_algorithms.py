"""Searches: what they ask for, and that playing their ledger back restores them."""

import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.sweeps.search.search_algorithms import Search, make_search, random_points
from modules.sweeps.search.search_space import Axis, Point, Space
from tests.sweeps.small_sweep import SETTINGS

LR = Axis("lr", None, 1e-4, 1e-1, log=True)
WIDTH = Axis("width", None, 1, 64, integer=True)
KIND = Axis("kind", ("a", "b", "c"))
SPACE = Space((LR, WIDTH, KIND), ())


def search(space: Space = SPACE, mode: Any = "max", **changes: Any) -> Search:
    return make_search(space, replace(SETTINGS, **changes), mode)


def asked(one: Search) -> list[Point]:
    return list(iter(one.ask, None))


def test_grid_takes_all_or_as_many_as_it_may() -> None:
    space = Space((KIND, Axis("seed", ("0", "1"))), ())
    assert [tuple(point.values()) for point in asked(search(space))] == [
        (kind, seed) for kind in "abc" for seed in "01"
    ]
    assert len(asked(search(space, num_trials=4))) == 4
    assert len(asked(search(space, num_trials=40))) == 6


def test_listed_points_come_in_their_order() -> None:
    points = ({"seed": "2"}, {"seed": "1"})
    assert asked(search(Space((), (), points))) == list(points)


def test_random_is_seeded_and_one_more_axis_changes_no_other() -> None:
    first = asked(search(search="random", num_trials=50))
    assert first == asked(search(search="random", num_trials=50))
    assert first != asked(search(search="random", num_trials=50, seed=1))
    wider = asked(
        search(replace(SPACE, axes=(Axis("x", None, 0, 1), *SPACE.axes)), search="random", num_trials=50)
    )
    assert [{key: point[key] for key in first[0]} for point in wider] == first
    assert first[:20] == asked(search(search="random", num_trials=20))


def test_random_draws_each_order_of_magnitude_alike() -> None:
    points = asked(search(search="random", num_trials=3000))
    decades = [math.floor(math.log10(float(point["lr"]))) for point in points]
    for decade in (-4, -3, -2):
        assert decades.count(decade) == pytest.approx(1000, abs=120)
    widths = [int(point["width"]) for point in points]
    assert min(widths) == 1 and max(widths) == 64 and sum(widths) / 3000 == pytest.approx(32.5, abs=1.5)


def test_random_takes_each_point_of_a_finite_space_once() -> None:
    space = Space((KIND, Axis("seed", ("0", "1"))), ())
    points = list(random_points(space, seed=0))
    assert sorted(map(str, points)) == sorted(map(str, space.grid())) and points != list(space.grid())
    assert list(random_points(Space((), ("recipe=lenet",)), seed=0)) == [{}]


def score(point: Point) -> float:
    return -((math.log10(float(point["lr"])) + 2) ** 2) + (point["kind"] == "b")


def test_optuna_finds_what_random_search_does_not() -> None:
    def best(kind: str) -> float:
        one = search(search=kind, num_trials=40)
        found = []
        while (point := one.ask()) is not None:
            found.append(score(point))
            one.tell(len(found) - 1, found[-1])
        return sum(found[20:]) / 20

    assert best("optuna") > best("random") + 0.5


def test_optuna_minimises_where_less_is_better() -> None:
    one = search(mode="min", search="optuna", num_trials=40)
    values = []
    while (point := one.ask()) is not None:
        values.append(-score(point))
        one.tell(len(values) - 1, values[-1])
    assert sum(values[20:]) < sum(values[:20])


@settings(max_examples=10)
@given(st.lists(st.tuples(st.integers(0, 3), st.floats(0, 1) | st.none()), min_size=5, max_size=40))
def test_optuna_played_back_asks_for_the_same(steps: list[tuple[int, float | None]]) -> None:
    """Asks and tells in any order, as many workers make them."""
    log: list[tuple[str, Any]] = []

    def play(one: Search, events: list[tuple[str, Any]]) -> list[Point | None]:
        points = []
        for kind, what in events:
            points.append(one.ask()) if kind == "ask" else one.tell(*what)
        return points

    running: list[int] = []
    num_asked = 0
    for choice, value in steps:
        if choice and len(running) < 4:
            log.append(("ask", None))
            running.append(num_asked)
            num_asked += 1
        elif running:
            log.append(("tell", (running.pop(choice % len(running)), value)))
    live = search(search="optuna", num_trials=1000)
    points = play(live, log)
    restored = search(search="optuna", num_trials=1000)
    assert play(restored, log) == points
    assert [live.ask() for _ in range(3)] == [restored.ask() for _ in range(3)]


def test_optuna_is_told_the_number_that_was_trained() -> None:
    one: Any = search(search="optuna", num_trials=30)
    for number in range(30):
        point = one.ask()
        assert one._asked[number].params["lr"] == float(point["lr"])
        one.tell(number, float(number % 7))
    assert one.ask() is None


def test_a_value_that_is_no_number_is_a_failure_to_optuna() -> None:
    one = search(search="optuna", num_trials=2)
    one.ask()
    one.tell(0, float("nan"))
    assert one.ask() is not None
