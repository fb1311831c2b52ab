"""The order in which a catalogue is trained, and what is left out of it."""

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.configuration.composition.conf_contents import names
from modules.configuration.composition.key_locations import CONF
from modules.configuration.errors import UserError
from modules.planning.catalogue_order import Entry, choose, in_order, read_entries
from tests.plans import recipe_configuration


def entries(**needs: tuple[float | None, str]) -> dict[str, Entry]:
    """Recipes of minutes and names of what they need, in words; the family is the name's first letter."""
    return {
        name: Entry(name, family=name[0], needs=frozenset(words.split()), minutes=minutes)
        for name, (minutes, words) in needs.items()
    }


CATALOGUE = entries(
    a_long=(60, ""),
    a_after=(1, "a_long"),
    a_short=(2, ""),
    b_unknown=(None, ""),
    b_after=(5, "b_unknown"),
    b_both=(3, "a_short a_after"),
)


def named(recipes: list[Entry]) -> list[str]:
    return [one.name for one in recipes]


def test_the_shortest_comes_first_after_what_it_needs() -> None:
    ordered = named(in_order(CATALOGUE.values()))
    assert ordered == ["a_short", "a_long", "a_after", "b_both", "b_unknown", "b_after"]


@st.composite
def catalogues(draw: st.DrawFn) -> dict[str, Entry]:
    """Recipes that need some of those before them."""
    found: dict[str, Entry] = {}
    for number in range(draw(st.integers(0, 12))):
        name = f"{draw(st.sampled_from('ab'))}{number}"
        needs = draw(st.sets(st.sampled_from(sorted(found)))) if found else set()
        minutes = draw(st.none() | st.integers(1, 100))
        found[name] = Entry(name, name[0], frozenset(needs), minutes)
    return found


@given(
    catalogues(),
    st.none() | st.sampled_from("ab"),
    st.none() | st.integers(1, 100),
    st.sets(st.integers(0, 11)),
)
def test_a_choice_can_be_trained_in_its_order(
    catalogue: dict[str, Entry], family: str | None, max_minutes: int | None, numbers: set[int]
) -> None:
    trained = {name for place, name in enumerate(catalogue) if place in numbers}
    choice = choose(catalogue, trained, family, max_minutes)
    chosen, left_out = named(choice.recipes), {*choice.too_long, *choice.wanting}
    assert len(set(chosen)) == len(chosen) and not left_out & set(chosen)
    there = set(trained)
    for one in choice.recipes:
        assert one.needs <= there
        there.add(one.name)
        assert max_minutes is None or (one.minutes is not None and one.minutes <= max_minutes)
    wanted = {name for name, one in catalogue.items() if family in (None, one.family)}
    assert wanted <= left_out | set(chosen)
    assert {need for name in wanted for need in catalogue[name].needs} <= left_out | set(chosen)
    assert max_minutes is not None or not left_out


def test_what_takes_too_long_is_left_out_with_what_needs_it() -> None:
    choice = choose(CATALOGUE, [], max_minutes=10)
    assert named(choice.recipes) == ["a_short"]
    assert sorted(choice.too_long) == ["a_long", "b_unknown"]
    assert choice.wanting == ["a_after", "b_both", "b_after"]
    # Once it is trained it may be needed, and is not trained again.
    choice = choose(CATALOGUE, ["a_long"], max_minutes=10)
    assert named(choice.recipes) == ["a_short", "a_after", "b_both"]
    assert choice.wanting == ["b_after"] and sorted(choice.too_long) == ["a_long", "b_unknown"]


def test_a_family_comes_with_what_it_needs_of_others() -> None:
    choice = choose(CATALOGUE, [], family="b")
    assert named(choice.recipes) == ["a_short", "a_long", "a_after", "b_both", "b_unknown", "b_after"]
    assert named(choose(CATALOGUE, [], family="a").recipes) == ["a_short", "a_long", "a_after"]


def test_a_circle_is_refused() -> None:
    with pytest.raises(UserError, match="a_x, a_y need each other in a circle"):
        in_order(entries(a_x=(1, "a_y"), a_y=(1, "a_x"), a_z=(1, "")).values())


def test_the_repositorys_own() -> None:
    found = read_entries()
    assert list(found) == names("recipe")
    for name, entry in found.items():
        assert entry.minutes == recipe_configuration(name)["expected"].get("minutes")
        assert (CONF / "recipe" / entry.family / f"{name}.yaml").is_file()
    assert found["fcn_8s"].needs == {"fcn_16s"} and found["student"].needs == {"lenet"}
    assert found["things_regressed"].needs == {"thing_embedding"}, "its evaluation asks it"
    assert found["lenet"].needs == frozenset() and found["lenet"].target == "promote@lenet"
    assert found["style_optimised"].target == "evaluate@style_optimised"
    assert {one.name for one in choose(found, []).recipes} == set(found)


@pytest.fixture
def conf(tmp_path: Path) -> Path:
    """A catalogue of one recipe."""
    folder = tmp_path / "conf"
    (folder / "recipe" / "feedforward").mkdir(parents=True)
    shutil.copy(CONF / "recipe/feedforward/neuron.yaml", folder / "recipe/feedforward")
    written = (
        "recipes: {neuron: {dataset: x, upstream: data/shards/x, asks: build/train/lenet}}\nserved: {}\n"
    )
    (folder / "catalogue.yaml").write_text(written)
    return folder


def test_a_catalogue_of_ones_own(conf: Path) -> None:
    entry = Entry("neuron", "feedforward", frozenset({"lenet"}), minutes=0.13, dataset="x")
    assert read_entries(conf) == {"neuron": entry} and entry.target == "evaluate@neuron"


def test_a_stale_catalogue_is_refused(conf: Path) -> None:
    shutil.copy(CONF / "recipe/feedforward/perceptron.yaml", conf / "recipe/feedforward")
    with pytest.raises(UserError, match=r"catalogue.yaml does not show what conf/ holds.*--catalogue"):
        read_entries(conf)
    (conf / "catalogue.yaml").unlink()
    with pytest.raises(UserError, match="does not show what conf/ holds"):
        read_entries(conf)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("expected: {metric: accuracy, at_least: 0.5, minutes: -1}", "expected.minutes: -1 is no number"),
        ("expected: [", "neuron.yaml cannot be read"),
        ("- 1", "neuron.yaml cannot be read"),
    ],
)
def test_a_broken_recipe_is_one_line(text: str, message: str, conf: Path) -> None:
    (conf / "recipe/feedforward/neuron.yaml").write_text(text)
    with pytest.raises(UserError, match=message):
        read_entries(conf)
