"""Recipes lie in families and are called by their names."""

from pathlib import Path

import pytest

from modules.configuration.composition.compose import compose
from modules.configuration.composition.recipes import recipe_files, with_families
from modules.configuration.errors import UserError


def test_a_name_stands_for_its_family() -> None:
    given = ["recipe=lenet,rbm", "+recipe=neuron", "seed=1", "recipe=nothing", "recipe=boltzmann/rbm"]
    assert with_families(given) == [
        "recipe=convolutional/lenet,boltzmann/rbm",
        "+recipe=feedforward/neuron",
        "seed=1",
        "recipe=nothing",
        "recipe=boltzmann/rbm",
    ]
    assert compose(["recipe=lenet"]) == compose(["recipe=convolutional/lenet"])


def test_every_recipe_has_a_family() -> None:
    for name, path in recipe_files().items():
        assert path.stem == name and path.parent.parent.name == "recipe"


def test_two_of_one_name_are_refused(conf: Path) -> None:
    (conf / "recipe" / "transfer" / "lenet.yaml").write_text("name: lenet\n")
    both = r"conf/recipe/convolutional/lenet.yaml and conf/recipe/transfer/lenet.yaml have the same name"
    with pytest.raises(UserError, match=both):
        recipe_files(conf)


def test_a_mistyped_name_is_one_line() -> None:
    with pytest.raises(UserError, match=r"there is no recipe 'lenett'. Did you mean lenet\?"):
        compose(["recipe=lenett"])
