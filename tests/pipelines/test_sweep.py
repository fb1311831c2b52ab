"""`python -m pipelines.sweep`: spaces by name and by plan."""

import json
from pathlib import Path
from typing import Any

import pytest

from modules.configuration.composition.conf_contents import names, space_chart, space_overrides
from modules.configuration.composition.key_locations import CONF
from modules.configuration.errors import UserError
from modules.configuration.yaml_files import to_yaml
from modules.sweeps.control import sweep_command
from modules.sweeps.control.sweep_setup import Sweep, as_plain, draft
from pipelines.sweep import main

SPACES = names("space")


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with the hashes of shards."""
    monkeypatch.chdir(tmp_path)
    splits = {split: {"shards": [{"sha256": split}]} for split in ("train", "validation")}
    folder = tmp_path / "data" / "shards" / "fashion_mnist"
    folder.mkdir(parents=True)
    (folder / "shards.json").write_text(json.dumps({"splits": splits}))


@pytest.fixture
def swept(monkeypatch: pytest.MonkeyPatch) -> list[Sweep]:
    """The sweeps that would be run; each leaves a ledger."""
    seen: list[Sweep] = []

    def record(sweep: Sweep) -> None:
        seen.append(sweep)
        sweep.folder.mkdir(parents=True)
        (sweep.folder / "ledger.jsonl").write_text('{"event": "sweep"}\n')

    monkeypatch.setattr(sweep_command, "sweep", record)
    return seen


def write_plan(change: dict[str, Any] | None = None) -> Path:
    overrides = space_overrides("lenet")
    plan = {"name": "lenet", "overrides": overrides, "search": as_plain(draft(overrides).search)}
    path = Path("lenet.yaml")
    path.write_text(to_yaml(plan | (change or {})))
    return path


def test_a_space_is_searched(swept: list[Sweep]) -> None:
    main(["space=lenet"])
    assert swept[0].overrides == space_overrides("lenet")


def test_overrides_may_follow(swept: list[Sweep]) -> None:
    main(["space=lenet", "sweep.num_trials=2", "trainer.max_epochs=3"])
    assert swept[0].settings.num_trials == 2 and swept[0].max_epochs == 3


def test_a_plan_leaves_its_results_for_dvc(swept: list[Sweep]) -> None:
    main([f"plan={write_plan()}", "sweep.max_concurrent=1"])
    assert swept[0].settings.max_concurrent == 1
    assert [path.name for path in Path("build/sweep/lenet").iterdir()] == ["ledger.jsonl"]


def test_results_are_left_when_a_trial_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(sweep: Sweep) -> None:
        sweep.folder.mkdir(parents=True)
        (sweep.folder / "best.yaml").write_text("")
        raise UserError("1 of 2 trials failed")

    monkeypatch.setattr(sweep_command, "sweep", fail)
    with pytest.raises(UserError, match="1 of 2 trials failed"):
        main([f"plan={write_plan()}"])
    assert Path("build/sweep/lenet/best.yaml").is_file()


def test_a_plan_that_conf_has_left_behind_is_refused(swept: list[Sweep]) -> None:
    path = write_plan()
    with pytest.raises(UserError, match=r"is not what conf/ and the code say now\. Write it: "):
        main([f"plan={path}", "trainer.max_epochs=3"])
    assert not swept and not Path("build").exists()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "names no space"),
        (["lenet"], "'lenet' names no space. Begin with space="),
        (["space=lent"], r"there is no space 'lent'\. Did you mean lenet\?"),
        (["space=../lenet"], "there is no space"),
        (["plan=none.yaml"], "none.yaml is not there"),
        (["space=lenet", "trainer.max_epoch=1"], "Did you mean trainer.max_epochs"),
    ],
)
def test_mistakes(argv: list[str], message: str, swept: list[Sweep]) -> None:
    with pytest.raises(UserError, match=message):
        main(argv)
    assert not swept


def test_a_recipes_plan_is_no_spaces(swept: list[Sweep]) -> None:
    Path("plan.yaml").write_text("name: lenet\n")
    with pytest.raises(UserError, match=r"plan.yaml is no plan of a space"):
        main(["plan=plan.yaml"])
    with pytest.raises(UserError, match="is no name for a space"):
        main([f"plan={write_plan({'name': '../escape'})}"])
    assert not swept


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("recipe: lenet", "recip: lenet", r"space/lenet.yaml: recip: .*Did you mean recipe"),
        ("name: lenet", "name: other", r"space/lenet.yaml: its name is 'other'\. Write name: lenet"),
        ("sweep: asha", "sweep: 3", r"space/lenet.yaml: sweep: 3 \(int\)"),
    ],
)
def test_a_fault_in_a_spaces_file_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = (CONF / "space" / "lenet.yaml").read_text()
    assert old in text
    (tmp_path / "space").mkdir()
    (tmp_path / "space" / "lenet.yaml").write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=message):
        space_overrides("lenet", tmp_path)


CHART = "chart: {title: Width, caption: Wide, x: optimizer.lr, series: model.num_filters, log_x: true}\n"


def space_with(tmp_path: Path, chart: str) -> Path:
    (tmp_path / "space").mkdir()
    (tmp_path / "space" / "lenet.yaml").write_text((CONF / "space" / "lenet.yaml").read_text() + chart)
    return tmp_path


def test_a_chart_of_a_space(tmp_path: Path) -> None:
    conf = space_with(tmp_path, CHART.replace("}", ", y: validation/loss, labels: {'[8,16]': narrow}}"))
    chart = space_chart("lenet", ["validation/loss", "validation/accuracy"], conf)
    assert chart and chart["labels"] == {"[8,16]": "narrow"} and chart["series"] == "model.num_filters"
    assert space_overrides("lenet", conf) == space_overrides("lenet"), "a chart changes no sweep"
    with pytest.raises(UserError, match=r"chart\.y: nothing logs 'validation/loss'"):
        space_chart("lenet", ["validation/accuracy"], conf)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("x: optimizer.lr", "x: optimiser.lr", r"chart\.x: 'optimiser\.lr' is no axis .*mean optimizer\.lr"),
        ("model.num_filters", "[seed]", r"chart\.series: 'seed' is no axis of the space"),
        ("model.num_filters", "[optimizer.lr]", r"chart\.series: 'optimizer.lr' goes across already"),
        ("log_x: true", "logx: true", r"space/lenet.yaml: chart\.logx: .*mean log_x"),
        ("title: Width, ", "", r"space/lenet.yaml: chart\.title"),
        ("log_x: true", "labels: {null: all}", r"space/lenet.yaml: chart\.labels"),
    ],
)
def test_a_fault_in_a_chart_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in CHART
    with pytest.raises(UserError, match=message):
        space_overrides("lenet", space_with(tmp_path, CHART.replace(old, new)))
