"""The gates: pure questions with exact answers."""

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.registry.gates import (
    Gate,
    Score,
    beats_champion,
    becomes_champion,
    reaches_expected,
    served_equals_eager,
    signature_holds,
)
from modules.registry.model_signature import Port, Signature

scores = st.floats(0, 1)


def signature(shape: tuple[int | str, ...], *names: str, kind: str = "image") -> Signature:
    return Signature((Port(kind, shape, name="image"),), (Port("classes", (len(names),), names),))


SIGNATURE = signature((1, 28, 28), "cat", "dog")


def score(value: float, data: str = "a", metric: str = "accuracy") -> Score:
    return Score(metric, value, data)


def test_the_first_of_its_name_has_no_one_to_beat() -> None:
    assert beats_champion(score(0.1), None).passed


@given(scores, scores)
def test_only_a_larger_score_beats_the_champion(challenger: float, champion: float) -> None:
    assert beats_champion(score(challenger), score(champion)).passed == (challenger > champion)


@given(scores, scores)
def test_where_smaller_is_better_only_a_smaller_score_beats_the_champion(ours: float, theirs: float) -> None:
    challenger, champion = (Score("perplexity", value, "a", "min") for value in (ours, theirs))
    gate = beats_champion(challenger, champion)
    assert gate.passed == (ours < theirs)
    assert ("does not beat" in gate.detail) == (ours > theirs)
    assert reaches_expected(challenger, 0.5).passed == (ours <= 0.5)
    assert "expected at most 0.5000" in reaches_expected(challenger, 0.5).detail


@given(scores, scores)
def test_two_models_never_beat_each_other(first: float, second: float) -> None:
    there = beats_champion(score(first), score(second)).passed
    back = beats_champion(score(second), score(first)).passed
    assert not (there and back)


@pytest.mark.parametrize(("challenger", "champion"), [(math.nan, 0.1), (0.9, math.nan), (math.nan, math.nan)])
def test_a_score_that_is_no_number_wins_nothing(challenger: float, champion: float) -> None:
    assert not beats_champion(score(challenger), score(champion)).passed


def test_scores_on_other_data_or_of_another_metric_are_not_compared() -> None:
    assert not beats_champion(score(0.9), score(0.1, data="b")).passed
    assert not beats_champion(score(0.9), score(0.1, metric="recall")).passed
    gate = beats_champion(score(0.9), None, why_no_champion="the champion is lost")
    assert not gate.passed and "the champion is lost" in gate.detail


rows = st.lists(st.lists(scores, min_size=3, max_size=3), min_size=1, max_size=5)


@given(rows)
def test_equal_answers_are_equal(answer: list[list[float]]) -> None:
    assert served_equals_eager(answer, answer).passed


@given(rows, st.data())
def test_one_different_probability_anywhere_is_found(answer: list[list[float]], data: st.DataObject) -> None:
    row = data.draw(st.integers(0, len(answer) - 1))
    column = data.draw(st.integers(0, 2))
    difference = data.draw(st.sampled_from([2e-5, -1e-4, 0.5, math.nan, math.inf]))
    changed = [list(values) for values in answer]
    changed[row][column] += difference
    assert not served_equals_eager(changed, answer).passed
    assert not served_equals_eager(answer, changed).passed


@pytest.mark.parametrize(("value", "passed"), [(1000.005, True), (1000.05, False), (-1000.0, False)])
def test_large_values_are_compared_in_proportion(value: float, passed: bool) -> None:
    assert served_equals_eager([[value]], [[1000.0]]).passed == passed


@pytest.mark.parametrize("served", [[], [[0.5]], [[0.5, 0.5], [0.5, 0.5]], [[0.2, 0.3, 0.5]]])
def test_an_answer_of_another_shape_is_another_answer(served: list[list[float]]) -> None:
    assert not served_equals_eager(served, [[0.5, 0.5]]).passed


def test_no_answers_prove_nothing() -> None:
    assert not served_equals_eager([], []).passed


def test_the_signature_is_the_shape_and_the_outputs_in_their_order() -> None:
    assert signature_holds(SIGNATURE, None).passed
    assert signature_holds(SIGNATURE, SIGNATURE).passed
    assert not signature_holds(signature((3, 28, 28), "cat", "dog"), SIGNATURE).passed
    swapped = signature_holds(signature((1, 28, 28), "dog", "cat"), SIGNATURE)
    assert not swapped.passed and "another order" in swapped.detail
    other = signature_holds(signature((1, 28, 28), "cat", "cow"), SIGNATURE)
    assert not other.passed and "cow" in other.detail and "dog" in other.detail
    ragged = signature_holds(signature((1, "height", "width"), "cat", "dog"), SIGNATURE)
    assert (
        not ragged.passed
        and "takes image [1, 'height', 'width'], the champion image [1, 28, 28]" in ragged.detail
    )
    numbers = signature_holds(signature((1, 28, 28), "cat", "dog", kind="vector"), SIGNATURE)
    assert not numbers.passed and "takes vector" in numbers.detail
    assert signature_holds(SIGNATURE, signature((1, 28, 28), "cat", "dog", kind="")).passed, "it did not say"


def test_several_inputs_keep_their_names_and_a_vocabulary_counts() -> None:
    one, two = Port("text", ("time",), ("vocabulary 1",), "source"), Port("text", ("time",), (), "target")
    answer = (Port("text", ("time",), ("vocabulary 1",)),)
    champion = Signature((one, two), answer)
    assert signature_holds(champion, champion).passed
    assert not signature_holds(Signature((two, one), answer), champion).passed
    assert not signature_holds(Signature((one,), answer), champion).passed
    other = Signature((replace(one, names=("vocabulary 2",)), two), answer)
    assert "source differ from the champion's" in signature_holds(other, champion).detail


def test_the_expected_score_is_told_and_does_not_bind() -> None:
    missed = reaches_expected(score(0.5), 0.9)
    assert not missed.passed and not missed.binding
    assert reaches_expected(score(0.9), 0.9).passed
    assert becomes_champion([Gate("score", True, ""), missed])


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=6))
def test_every_binding_gate_and_at_least_one_must_pass(answers: list[tuple[bool, bool]]) -> None:
    gates = [Gate("gate", passed, "", binding) for passed, binding in answers]
    binding = [passed for passed, binds in answers if binds]
    assert becomes_champion(gates) == (bool(binding) and all(binding))
