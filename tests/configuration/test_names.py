"""Names that become paths."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.configuration.errors import UserError
from modules.configuration.names import check_name, nearest, nearest_key, suggest

HOSTILE = [
    "",
    ".",
    "..",
    "a/b",
    "/a",
    "a\\b",
    "a..b",
    "a\0b",
    "a\nb",
    "a\n",
    " a",
    "a b",
    "-a",
    ".a",
    "~",
    "é",
]
HOSTILE += ["a" * 101, None, 3]


@pytest.mark.parametrize("name", HOSTILE, ids=repr)
def test_hostile_name_is_refused_in_one_line(name: object) -> None:
    with pytest.raises(UserError, match="is no name for a recipe") as caught:
        check_name("recipe", name)
    assert "\n" not in str(caught.value) and "\0" not in str(caught.value)


@given(st.text(max_size=20))
def test_what_passes_stays_inside_its_folder(name: str) -> None:
    try:
        check_name("recipe", name)
    except UserError:
        return
    assert set(name) <= set(string.ascii_letters + string.digits + "._-")
    assert ".." not in name and name[0] not in ".-"


def test_nearest() -> None:
    assert nearest("lent", ["lenet", "neuron"]) == "lenet"
    assert nearest("LENET", ["lenet"]) == "lenet"
    assert nearest("lenet", ["convolutional/lenet", "feedforward/neuron"]) == "convolutional/lenet"
    assert nearest("xyz", ["lenet"]) is None


def test_nearest_key_looks_beside_first() -> None:
    keys = ["model", "model.num_filters", "optimizer", "optimizer.lr", "trainer", "trainer.max_epochs"]
    assert nearest_key("model.num_filter", keys) == "model.num_filters"
    assert nearest_key("trainr.max_epochs", keys) == "trainer.max_epochs"
    assert nearest_key("lr", keys) == "optimizer.lr"
    assert nearest_key("model.zzz", keys) is None


def test_suggest_lists_all_where_none_is_near() -> None:
    assert suggest("zzz", ["b", "a"]) == "There is: a, b"
    assert suggest("zzz", []) == ""
