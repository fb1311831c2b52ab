"""The identity changes with everything a result depends on, and with nothing else."""

import copy
import json
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.configuration.composition.compose import compose
from modules.configuration.errors import UserError
from modules.configuration.plans.identity import identities, identity, pinned_environment
from modules.configuration.plans.plan_files import plan_text
from modules.configuration.plans.run_plan import Plan, parse_plan
from tests.plans import composed_plan, plan_of


def shards(folder: Path, sha256: str = "a" * 64) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    splits = {"train": {"num_samples": 1, "shards": [{"path": "train-000000.tar", "sha256": sha256}]}}
    (folder / "shards.json").write_text(json.dumps({"splits": splits}))
    return folder


@pytest.fixture
def parts(tmp_path: Path) -> tuple[dict[str, Any], Path, Path]:
    constraints = tmp_path / "constraints.txt"
    constraints.write_text("b==1\na==1  # why\n")
    return composed_plan("recipe=lenet").to_plain(), shards(tmp_path / "shards"), constraints


def changed(plan: dict[str, Any], key: str, value: Any) -> Plan:
    other = copy.deepcopy(plan)
    *parents, last = key.split(".")
    inner = other
    for parent in parents:
        inner = inner[parent]
    assert inner[last] != value
    inner[last] = value
    return parse_plan(other)


@pytest.mark.parametrize(
    ("key", "value", "same"),
    [
        ("seed", 1, False),
        ("name", "other", True),
        ("model.num_filters", [8, 16], False),
        ("trainer.max_epochs", 1, False),
        ("data.splits.validation.fraction", 0.5, False),
        ("code.fingerprint", "1" * 64, False),
        ("runtime.num_threads", 7, True),
        ("tracking.uri", None, True),
        ("allowed_targets", ["x."], True),
        ("expected.at_least", 0.1, True),
        ("evaluation", [], True),
        ("cost.num_parameters", 3, True),
    ],
)
def test_identity_depends_on(
    key: str, value: Any, same: bool, parts: tuple[dict[str, Any], Path, Path]
) -> None:
    plain, folder, constraints = parts
    before = identity(parse_plan(plain), folder, constraints)
    assert len(before) == 64 and int(before, 16) >= 0
    assert (identity(changed(plain, key, value), folder, constraints) == before) is same


def test_what_was_seen_is_in_no_plan(parts: tuple[dict[str, Any], Path, Path]) -> None:
    _, folder, constraints = parts
    config = compose(["recipe=dbn_digits"])
    assert {"seen", "minutes"} <= config["expected"].keys()
    other = copy.deepcopy(config)
    other["expected"] |= {"seen": 0.99, "minutes": 100.0}
    unseen = copy.deepcopy(config)
    del unseen["expected"]["seen"], unseen["expected"]["minutes"]
    plans = [plan_of(one) for one in (config, other, unseen)]
    # Stages depend on the plan's file: the same file trains and evaluates nothing again.
    first, *others = [plan_text(plan.to_plain()) for plan in plans]
    assert others == [first, first] and "seen" not in first and "minutes" not in first
    first, *others = [identities(plan, folder, constraints) for plan in plans]
    assert len(first) == 3 and others == [first, first]


def test_identity_depends_on_shards_and_pins(
    parts: tuple[dict[str, Any], Path, Path], tmp_path: Path
) -> None:
    plain, folder, constraints = parts
    plan = parse_plan(plain)
    before = identity(plan, folder, constraints)
    assert identity(plan, shards(tmp_path / "elsewhere"), constraints) == before
    assert identity(plan, shards(tmp_path / "other", "b" * 64), constraints) != before
    constraints.write_text("# another comment\na==1\n\nb==1\n")
    assert identity(plan, folder, constraints) == before
    constraints.write_text("a==1\nb==2\n")
    assert identity(plan, folder, constraints) != before
    assert pinned_environment(tmp_path / "none.txt") == []


@pytest.fixture(scope="module")
def one_for_all(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    return composed_plan("recipe=lenet").to_plain(), shards(tmp_path_factory.mktemp("shards"))


@given(random=st.randoms())
def test_identity_does_not_depend_on_the_order_of_keys(
    random: Random, one_for_all: tuple[dict[str, Any], Path]
) -> None:
    def shuffled(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        names = list(value)
        random.shuffle(names)
        return {name: shuffled(value[name]) for name in names}

    plain, folder = one_for_all
    assert identity(parse_plan(shuffled(plain)), folder) == identity(parse_plan(plain), folder)


def test_missing_and_broken_shards_are_one_line(
    parts: tuple[dict[str, Any], Path, Path], tmp_path: Path
) -> None:
    plan, constraints = parse_plan(parts[0]), parts[2]
    with pytest.raises(UserError, match=r"is not there. Make them: python -m pipelines.shard"):
        identity(plan, tmp_path / "none", constraints)
    for text in ("", "{", "[]", '{"splits": 3}', '{"splits": {"train": {"shards": [{}]}}}'):
        (tmp_path / "shards" / "shards.json").write_text(text)
        with pytest.raises(UserError, match="cannot be read"):
            identity(plan, tmp_path / "shards", constraints)
