"""Interpolations of a recipe from someone else: bounded, and no way to the environment's secrets."""

from pathlib import Path

import pytest

from modules.configuration.composition import interpolations
from modules.configuration.composition.compose import compose
from modules.configuration.errors import UserError


def grow(conf: Path, first: str, other: str, last: str = "") -> None:
    lines = [f"x0: {first}", *(f"x{n}: {other.replace('@', f'phases.x.x{n - 1}')}" for n in range(1, 40))]
    path = conf / "recipe" / "convolutional" / "lenet.yaml"
    path.write_text(path.read_text() + "phases:\n  x:\n" + "".join(f"    {line}\n" for line in lines) + last)


@pytest.mark.parametrize(
    ("first", "other"),
    [
        ("abc", '"${@}${@}"'),
        ("[a]", '["${@}", "${@}"]'),
        ("{a: 1}", '{a: "${@}", b: "${@}"}'),
        ("abc", '"${oc.select:@}${oc.select:@}"'),
        ("x" * 300_000, '"${@}${phases.x.x0}"'),
    ],
    ids=["text", "list", "mapping", "resolver", "long"],
)
def test_what_doubles_itself_is_one_line(first: str, other: str, conf: Path) -> None:
    grow(conf, first, other)
    with pytest.raises(UserError, match=r"its interpolations \$\{...\} grow without end") as refused:
        compose(["recipe=lenet"], conf)
    assert "\n" not in str(refused.value) and len(str(refused.value)) < 300
    assert compose(["recipe=perceptron"], conf)["name"] == "perceptron", "the next has its own budget"


def test_the_environment_is_read_by_allowed_names_alone(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_FOLDER", "abc")
    with pytest.raises(UserError, match="environment variable MY_FOLDER may not be read") as refused:
        compose(["recipe=lenet", "tracking.experiment=${oc.env:MY_FOLDER}"])
    assert "abc" not in str(refused.value) and "\n" not in str(refused.value)
    with pytest.raises(UserError, match=r"allowed_environment: may be set in conf/config\.yaml alone"):
        compose(["recipe=lenet", "allowed_environment=[MY_FOLDER]"])


def test_an_allowed_variable_is_a_value_and_a_secret_cannot_be_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MY_FOLDER", "abc")
    monkeypatch.setattr(interpolations, "root_list", lambda key: ["MY_FOLDER", "OTHER"])
    assert interpolations.environment("MY_FOLDER") == "abc"
    assert interpolations.environment("OTHER", 5) == "5"
    for name in ("DB_PASSWORD", "AWS_SECRET_ACCESS_KEY", "GH_TOKEN", "API_KEY"):
        monkeypatch.setattr(interpolations, "root_list", lambda key, name=name: [name])
        with pytest.raises(UserError, match=f"allowed_environment: '{name}'"):
            interpolations.environment(name)
