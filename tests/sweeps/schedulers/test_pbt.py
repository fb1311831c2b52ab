"""Population based training against cases worked by hand."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.sweeps.schedulers.decisions import Decision, Exploit
from modules.sweeps.schedulers.pbt import FACTORS, Population, explore
from modules.sweeps.search.search_space import Axis, Space

LR = Axis("lr", None, 1e-3, 1e-1, log=True)
KIND = Axis("kind", ("a", "b", "c"))


def population(num_members: int = 4, max_epochs: int = 10, every: int = 1, mode: str = "max") -> Population:
    one = Population(Space((LR, KIND), ()), every, 0.25, 0, mode, max_epochs)  # pyright: ignore
    for member in range(num_members):
        one.add(member, {"lr": f"0.0{member + 1}", "kind": "abc"[member % 3]})
    return one


def decisions(one: Population, epoch: int, values: list[float]) -> list[Decision]:
    return [one.decide(member, epoch, value) for member, value in enumerate(values)]


def test_the_worst_quarter_copies_the_best_quarter() -> None:
    one = population()
    first = decisions(one, 1, [0.5, 0.6, 0.9, 0.7])
    assert first == ["continue"] * 4  # the worst reported while there were too few to compare with
    *_, last = decisions(population(), 1, [0.5, 0.6, 0.9, 0.4])
    assert isinstance(last, Exploit) and last.copy_from == 2
    assert float(last.point["lr"]) in (0.03 * 0.8, 0.03 * 1.2)


def test_less_is_better() -> None:
    *_, last = decisions(population(mode="min"), 1, [0.5, 0.6, 0.3, 0.9])
    assert isinstance(last, Exploit) and last.copy_from == 2


def test_it_exchanges_in_its_interval_and_never_after_the_last_epoch() -> None:
    one = population(every=2, max_epochs=4)
    values = [0.5, 0.6, 0.9, 0.4]
    assert decisions(one, 1, values) == ["continue"] * 4
    assert isinstance(decisions(one, 2, values)[3], Exploit)
    assert decisions(one, 4, values) == ["continue"] * 4


def test_members_are_compared_at_equal_age() -> None:
    one = population()
    for epoch, values in enumerate([[0.5, 0.6, 0.7], [0.8, 0.8, 0.8]], 1):
        decisions(one, epoch, values)
    # The last member begins late: 0.65 after an epoch is good, though the others have more by now.
    assert one.decide(3, 1, 0.65) == "continue"
    assert isinstance(one.decide(3, 2, 0.1), Exploit)


def test_a_copy_is_as_good_as_what_it_copied() -> None:
    one = population()
    assert isinstance(decisions(one, 1, [0.5, 0.6, 0.9, 0.4])[3], Exploit)
    assert one.decide(0, 1, 0.5) == "continue"  # reported again after its worker died: no second exchange
    # Member 3 counts as 0.9 until its next report, so that member 0 is the worst now.
    assert isinstance(one.decide(0, 2, 0.5), Exploit)


def test_what_is_no_number_is_the_worst() -> None:
    *_, last = decisions(population(), 1, [0.5, 0.6, 0.9, float("nan")])
    assert isinstance(last, Exploit)


@given(
    st.lists(st.tuples(st.integers(0, 5), st.floats(0, 1)), min_size=10, max_size=60),
    st.integers(0, 3),
)
def test_the_same_reports_give_the_same_decisions_and_points_stay_inside(
    reports: list[tuple[int, float]], every: int
) -> None:
    first, second = (population(6, max_epochs=50, every=every + 1) for _ in range(2))
    epochs = [0] * 6
    for member, value in reports:
        epochs[member] += 1
        decision = first.decide(member, epochs[member], value)
        assert decision == second.decide(member, epochs[member], value)
        if isinstance(decision, Exploit):
            assert decision.copy_from != member
            assert 1e-3 <= float(decision.point["lr"]) <= 1e-1 and decision.point["kind"] in "abc"


@pytest.mark.parametrize("text", ["0.001", "0.1"])
def test_exploring_stops_at_the_bounds(text: str) -> None:
    found = {explore(LR, text, random.Random(seed)) for seed in range(20)}
    assert found == {text, LR.text(float(text) * FACTORS[text == "0.001"])}


def test_listed_values_are_drawn_anew_now_and_then() -> None:
    found = [explore(KIND, "a", random.Random(seed)) for seed in range(400)]
    assert set(found) == {"a", "b", "c"} and 0.75 < found.count("a") / 400 < 0.92
