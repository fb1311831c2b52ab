"""What is expected of a recipe, and what was seen of it."""

import math
from typing import Any

import pytest

from modules.configuration.composition.compose import compose
from modules.configuration.composition.conf_contents import names
from modules.configuration.errors import ConfigError, UserError
from modules.configuration.schema.expected_settings import (
    SEEN,
    ExpectedSettings,
    without_what_was_seen,
)
from modules.configuration.schema.settings import read
from tests.plans import recipe_configuration


@pytest.mark.parametrize(
    ("values", "key", "message"),
    [
        ({"seen": 0.89}, "expected.seen", "0.89 does not pass at_least: 0.9"),
        ({"at_least": None, "at_most": 0.1, "seen": 0.2}, "expected.seen", "0.2 does not pass at_most: 0.1"),
        ({"seen": math.nan}, "expected.seen", "nan is no number"),
        ({"seen": math.inf}, "expected.seen", "inf is no number"),
        ({"seen": "0.95"}, "expected.seen", "'0.95' .str. where float"),
        ({"minutes": 0}, "expected.minutes", "0 is no number above 0"),
        ({"minutes": -1.5}, "expected.minutes", "-1.5 is no number above 0"),
        ({"minutes": math.nan}, "expected.minutes", "nan is no number above 0"),
        ({"minutes": math.inf}, "expected.minutes", "inf is no number above 0"),
        ({"minutes": "ten"}, "expected.minutes", "'ten' .str. where float"),
        ({"hours": 1}, "expected.hours", "ExpectedSettings has no 'hours'"),
    ],
)
def test_what_is_refused(values: dict[str, Any], key: str, message: str) -> None:
    given = {"metric": "accuracy", "at_least": 0.9} | values
    with pytest.raises(ConfigError, match=message) as caught:
        read(ExpectedSettings, given, "expected")
    assert caught.value.key == key


def test_what_passes() -> None:
    larger = read(ExpectedSettings, {"metric": "accuracy", "at_least": 0.9, "seen": 0.9, "minutes": 25})
    assert (larger.seen, larger.minutes, larger.mode) == (0.9, 25, "max")
    smaller = read(ExpectedSettings, {"metric": "error", "at_most": 0.1, "seen": 0.1})
    assert (smaller.seen, smaller.minutes, smaller.mode) == (0.1, None, "min")


def test_who_expects_more_than_was_seen_leaves_that_out() -> None:
    with pytest.raises(
        UserError, match=r"lenet.yaml:\d+: expected.seen: 0.9155 does not pass.*~expected.seen"
    ):
        compose(["recipe=lenet", "expected.at_least=0.99"])
    assert compose(["recipe=lenet", "expected.at_least=0.99", "~expected.seen"])["expected"]["minutes"] == 4


def test_a_configuration_without_it() -> None:
    config = compose(["recipe=lenet"])
    left = without_what_was_seen(config)
    assert left["expected"] == {"metric": "accuracy", "at_least": 0.91}
    assert config["expected"].keys() == {*left["expected"], *SEEN}, "the given one stays as it is"
    assert without_what_was_seen(left) == left


@pytest.mark.parametrize("recipe", names("recipe"))
def test_who_knows_how_long_it_takes_has_seen_the_end(recipe: str) -> None:
    expected = recipe_configuration(recipe)["expected"]
    assert "seen" in expected or "minutes" not in expected
