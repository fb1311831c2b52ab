"""Planning: what is written, when it is written again, and when it is refused."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from modules.configuration.composition import conf_contents
from modules.configuration.composition.compose import compose
from modules.configuration.composition.key_locations import CONF, shown
from modules.configuration.errors import UserError
from modules.configuration.plans.plan_files import read_plan
from modules.configuration.plans.run_plan import Plan
from modules.configuration.schema.expected_settings import without_what_was_seen
from modules.configuration.static_analysis.definitions import ROOT
from modules.configuration.yaml_files import read_yaml
from modules.planning.plan_all import catalogue_files
from modules.planning.plan_items import check_shared_data
from modules.shapes.make_plan import make_plan
from pipelines.plan import main
from tests.plans import recipe_configuration

RECIPES = conf_contents.names("recipe")


@pytest.fixture(scope="module")
def planned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planned")
    before = Path.cwd()
    os.chdir(folder)
    try:
        main(["--all"])
    finally:
        os.chdir(before)
    return folder


def test_all_writes_a_plan_and_an_image_of_every_recipe(planned: Path) -> None:
    out = planned / "build" / "plan"
    assert sorted(path.stem for path in out.glob("*.yaml")) == RECIPES
    for recipe in RECIPES:
        plan = read_plan(out / f"{recipe}.yaml")
        assert plan.name == recipe
        config = dict(recipe_configuration(recipe))
        del config["sweep"]  # how a recipe is searched changes nothing about it, nor does what was seen of it
        config = without_what_was_seen(config)
        for run in plan.all_runs:
            assert run.code.files and len(run.code.fingerprint) == len(run.code.environment) == 64
        assert plan.configuration == config
        assert plan.cost.num_parameters > 0 and plan.cost.multiply_adds > 0
        assert (out / f"{recipe}.svg").read_text().lstrip().startswith("<")


def test_all_writes_what_the_other_verbs_read(planned: Path) -> None:
    out = planned / "build" / "plan"
    # Of a space every point was checked that is known beforehand.
    for group, folder in (
        ("source", "sources"),
        ("data", "datasets"),
        ("space", "spaces"),
        ("comparison", "comparisons"),
    ):
        assert sorted(path.stem for path in (out / folder).iterdir()) == conf_contents.names(group)
        for path in (out / folder).iterdir():
            assert read_yaml(path)["name"] == path.stem
    assert sorted(path.stem for path in (out / "verbs").iterdir()) == [
        "evaluate",
        "promote",
        "report",
        "train",
    ]
    assert sorted(path.stem for path in (out / "verbs" / "evaluate").iterdir()) == RECIPES
    evaluate = yaml.safe_load((out / "verbs" / "evaluate" / "neuron.yaml").read_text())
    for name in (
        "classification_evaluator",
        "findings",
        "classification_plots",
    ):  # its task names the first alone
        assert f"modules/evaluation/{name}.py" in evaluate["code"]["files"]
    assert "modules/evaluation/reconstruction_evaluator.py" not in evaluate["code"]["files"]
    training = read_plan(out / "neuron.yaml").code.files
    assert not any(path.startswith(("modules/evaluation", "modules/registry")) for path in training)
    report = yaml.safe_load((out / "verbs" / "report.yaml").read_text())
    assert "modules/report/page.html.jinja" in report["code"]["files"]


def test_planning_again_writes_nothing_and_removes_what_is_gone(
    planned: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(planned)
    files = sorted(path for path in (planned / "build").rglob("*") if path.is_file())
    for path in files:
        os.utime(path, (1, 1))
    (planned / "build" / "plan" / "old.yaml").write_text("name: old\n")
    main(["--all"])
    shown = capsys.readouterr().out
    assert "0 written, 1 removed" in shown and "parameters" not in shown, "nothing was planned again"
    assert sorted(path for path in (planned / "build").rglob("*") if path.is_file()) == files
    assert {path.stat().st_mtime for path in files} == {1}


def test_what_was_planned_is_known_without_hydra_and_torch(planned: Path) -> None:
    program = """
import sys
from pipelines.plan import main
main(["--all"])
print(*{"torch", "hydra", "omegaconf", "numpy"} & set(sys.modules))
"""
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=planned,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1] == ""


def test_a_stale_catalogue_is_refused_before_anything_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("modules.planning.plan_all.names", lambda group: [])
    with pytest.raises(UserError, match=r"Write it again: python -m pipelines.plan --catalogue"):
        main(["--all"])
    assert not list(tmp_path.iterdir())


def test_what_the_catalogue_writes_is_in_the_repository(
    planned: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(planned)
    files = catalogue_files()
    assert [shown(path) for path in files] == ["conf/catalogue.yaml", "docs/catalogue.md"]
    for path, text in files.items():
        assert path.read_text(encoding="utf-8") == text, conf_contents.HINT
    assert "parameters" not in capsys.readouterr().out, "nothing was planned for it"


def test_the_catalogue_in_the_repository_is_what_conf_holds() -> None:
    shown = yaml.safe_load((CONF / "catalogue.yaml").read_text())
    assert list(shown["sources"]) == conf_contents.names("source")
    assert set(shown["looked_at"]) == {
        name for name, entry in shown["sources"].items() if entry["plan"] == f"build/look/{name}.yaml"
    }
    assert list(shown["recipes"]) == RECIPES and list(shown["datasets"]) == conf_contents.names("data")
    for recipe, entry in shown["recipes"].items():
        config = recipe_configuration(recipe)
        assert entry["dataset"] == config["data"]["name"] and set(entry) == {"dataset", "upstream", "asks"}
        assert shown["datasets"][entry["dataset"]] == {"source": config["data"]["source"]["name"]}


def test_a_stage_knows_one_folder_that_its_recipe_begins_from() -> None:
    trained = "build/train/lenet"
    own = conf_contents.inputs_of(compose(["recipe=student", f"init_from={trained}/weights.pt"]))
    assert own == {"dataset": "fashion_mnist", "upstream": trained}, "its teacher's weights: one folder"
    with pytest.raises(UserError, match="student begins from build/train/neuron and build/train/lenet, and"):
        conf_contents.inputs_of(compose(["recipe=student", "init_from=build/train/neuron"]))


def test_the_evaluation_depends_on_the_language_model_that_it_asks() -> None:
    config = compose(["recipe=spoken_numbers"])
    assert conf_contents.asked_by_evaluation(config) == {"asks": "data/shards/spoken_numbers/shards.json"}
    for reference, asks in (
        ("build/train/char_lstm/weights.pt", "build/train/char_lstm"),
        ("char_lstm@champion", "data/shards/spoken_numbers/shards.json"),
    ):
        config["evaluation"][0]["language_model"] = reference
        assert conf_contents.asked_by_evaluation(config) == {"asks": asks}
    asking = config["evaluation"][0]["_target_"]
    config["evaluation"].append({"_target_": asking, "language_model": "build/train/char_gru"})
    config["evaluation"].append({"_target_": asking, "language_model": "build/train/char_elman"})
    with pytest.raises(UserError, match="asks build/train/char_gru and build/train/char_elman, and may ask"):
        conf_contents.asked_by_evaluation(config)


def test_a_recipe_that_changes_shared_data_is_refused() -> None:
    config = compose(["recipe=lenet", "data.samples_per_record=10"])
    with pytest.raises(UserError, match=r"a/lenet.yaml: data differs from conf/data/fashion_mnist.yaml"):
        check_shared_data(config, "a/lenet.yaml")


def test_show_prints_the_table_and_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    main(["recipe=lenet", "model.num_filters=[8,16]"])
    shown = capsys.readouterr().out
    assert "ConvolutionLayer" in shown and "batch" in shown and "multiply-adds" in shown
    assert shown.endswith("→ output → cross entropy\n         label → cross entropy\n")
    assert not list(tmp_path.iterdir())


def test_a_wrong_size_names_the_place_that_set_it() -> None:
    with pytest.raises(UserError, match=r"model\.kernel_size=20 is set on the command line") as caught:
        main(["recipe=lenet", "model.kernel_size=20"])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--lsit"], "Did you mean --list"),
        (["--all", "recipe=lenet"], "--all stands alone"),
        (["-x"], "no flag -x"),
    ],
)
def test_flags_are_checked(argv: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        main(argv)


def plan_of(recipe: str) -> Plan:
    return make_plan(compose([f"recipe={recipe}"]))


def test_a_plan_is_the_same_every_time_and_where_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = plan_of("neuron")
    monkeypatch.chdir(tmp_path)
    assert plan_of("neuron") == first
    assert str(ROOT) not in str(first)
