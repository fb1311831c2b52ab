"""From data to runs to models and back, in a storage with a few real trainings and a real registry."""

import json
import shutil
from pathlib import Path

import pytest

from modules.registry.lineage_records import find_run, read_yard
from modules.registry.versions import Registry
from pipelines import promote
from tests.commands import run
from tests.pipelines.yard import RECIPE, Yard
from tests.training.small import write_small_shards

# MLflow 3.17 warns of its own type hints when its scoring part is imported.
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")
SMALL = ("data.samples_per_record=50", "trainer.max_epochs=1", "runtime.num_threads=1", "tracking=none")


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A neuron, evaluated, and one that goes on from it."""
    folder = tmp_path_factory.mktemp("storage")
    write_small_shards(folder / "data" / "shards" / "fashion_mnist")
    assert run("pipelines.train", "recipe=neuron", *SMALL, folder=folder)[0] == 0
    (first,) = (folder / "runs").iterdir()
    assert run("pipelines.evaluate", f"run=runs/{first.name}", folder=folder)[0] == 0
    again = ("recipe=neuron", "seed=1", f"init_from=runs/{first.name}")
    assert run("pipelines.train", *again, *SMALL, folder=folder)[0] == 0
    return folder


def lineage(storage: Path, *arguments: str) -> tuple[int, str, str]:
    return run("pipelines.lineage", *arguments, folder=storage)


def names(storage: Path) -> tuple[str, str]:
    """The folders of the first run and of the one that begins from it."""
    first, second = sorted((storage / "runs").iterdir(), key=lambda path: not (path / "evaluate").exists())
    return first.name, second.name


def test_from_data_to_what_was_trained_on_it(storage: Path) -> None:
    first, second = names(storage)
    status, out, err = lineage(storage, "data=fashion_mnist")
    assert (status, err) == (0, ""), err
    assert "trained on it: 2" in out and f"init_from of  neuron  runs/{second}  not evaluated" in out
    score = json.loads((storage / "runs" / first / "evaluate" / "metrics.json").read_text())["accuracy"]
    assert f"neuron  runs/{first}  accuracy {score:.4f}\n" in out

    shards = json.loads((storage / "data" / "shards" / "fashion_mnist" / "shards.json").read_text())
    digest = shards["splits"]["test"]["shards"][0]["sha256"]
    assert lineage(storage, f"data={digest[:10]}")[1] == out


def test_from_a_model_to_its_data_and_what_came_of_it(storage: Path) -> None:
    first, second = names(storage)
    status, out, _ = lineage(storage, f"model=runs/{second}")
    assert status == 0 and "data  fashion_mnist" in out
    assert f"init_from  runs/{first}  = neuron  runs/{first}" in out
    status, out, _ = lineage(storage, f"model=runs/{first}")
    assert status == 0 and f"init_from of  neuron  runs/{second}" in out


def test_shards_that_are_others_now_are_named(storage: Path, tmp_path: Path) -> None:
    copied = tmp_path / "storage"
    shutil.copytree(storage, copied)
    path = copied / "data" / "shards" / "fashion_mnist" / "shards.json"
    content = json.loads(path.read_text())
    content["splits"]["test"]["shards"][0]["sha256"] = "0" * 64
    path.write_text(json.dumps(content))
    assert "on another test" in lineage(copied, "data=fashion_mnist")[1]


def test_registered_models_lead_to_their_runs(
    evaluated_yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    yard = evaluated_yard.copy(tmp_path / "yard")
    monkeypatch.chdir(yard.folder)
    promote.main([f"plan=build/plan/{RECIPE}.yaml"])
    identity = json.loads((yard.weights.parent / "summary.json").read_text())["identity"]
    folder = yard.folder / "runs" / identity[:16]
    for file in (yard.plan_file, yard.weights.parent / "summary.json"):
        shutil.copy(file, folder / ("plan.yaml" if file == yard.plan_file else file.name))
    ((version, aliases),) = Registry(yard.plan["tracking"]).versions()
    assert (version.name, version.number, aliases) == (RECIPE, 1, ["champion"])
    found = read_yard(yard.folder, yard.plan["tracking"])
    assert found.models == {identity: [f"{RECIPE} version 1 (champion)"]}
    for reference in (RECIPE, f"{RECIPE}@champion", f"{RECIPE}@1", f"build/train/{RECIPE}"):
        assert find_run(found, reference).identity == identity
    assert find_run(found, RECIPE).score.startswith("accuracy ")  # of build/evaluate/


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "one of data=... and model=... is needed"),
        (["data=fashion_mnst"], "Here are: fashion_mnist"),
        (["data=0123456789"], "no dataset here has that name"),
        (["model=lenet@champion"], "names no model or run here. Registered are: none"),
        (["model=runs/0123456789abcdef"], "names no model or run here"),
    ],
)
def test_a_question_without_an_answer_is_one_line(storage: Path, arguments: list[str], said: str) -> None:
    status, out, err = lineage(storage, *arguments)
    assert (status, out) == (2, "") and said in err and err.count("\n") == 1, err
