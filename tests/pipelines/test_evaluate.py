"""The evaluation of real weights on a real test split, and what happens to broken ones."""

import json
import math
import shutil
from pathlib import Path

import numpy
import pytest
import torch
from torch.nn import functional

from modules.configuration.composition import conf_contents
from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import DataSettings
from modules.configuration.schema.settings import read
from modules.configuration.static_analysis.targets import build
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_writer import write_shards
from modules.registry.outcome import file_hash, read_outcome
from modules.tracking.tracker import Tracker
from pipelines import evaluate
from tests.pipelines.yard import CLASSES, DATASET, RECIPE, Yard, draw_stripes

COMMAND = [f"plan=build/plan/{RECIPE}.yaml"]


@pytest.fixture
def yard(evaluated_yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Yard:
    """A copy whose run is tracked no more: these tests are about files."""
    copied = evaluated_yard.copy(tmp_path / "yard")
    shutil.rmtree(copied.folder / "runs")
    summary = copied.weights.with_name("summary.json")
    content = json.loads(summary.read_text()) | {"run_folder": "runs/gone"}
    summary.write_text(json.dumps(content))
    monkeypatch.chdir(copied.folder)
    return copied


def test_the_figures_are_those_of_the_weights_on_every_test_sample(evaluated_yard: Yard) -> None:
    plan, folder = evaluated_yard.plan, evaluated_yard.evaluation
    split = ShardSet.open(evaluated_yard.folder / "data" / "shards" / DATASET).split("test")
    batch = split.read(numpy.arange(split.num_samples))
    model = build(plan["model"])
    model.load_state_dict(torch.load(evaluated_yard.weights, weights_only=True))
    with torch.inference_mode():
        logits = model.eval()(torch.from_numpy(batch["image"]).float() / 255)
    truth, taken = torch.from_numpy(batch["label"]), logits.argmax(dim=1)

    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["num_samples"] == split.num_samples > 50
    assert metrics["accuracy"] == int((truth == taken).sum()) / split.num_samples
    assert 0.4 < metrics["accuracy"] < 1  # it has learned something, and there are mistakes to look at
    assert math.isclose(metrics["loss"], float(functional.cross_entropy(logits, truth)), rel_tol=1e-4)
    confusion = json.loads((folder / "confusion.json").read_text())
    assert confusion["classes"] == CLASSES
    for row in range(len(CLASSES)):
        assert [sum(taken[truth == row] == column) for column in range(3)] == confusion["matrix"][row]
    of_index = dict(
        zip(batch["index"].tolist(), zip(truth.tolist(), taken.tolist(), strict=True), strict=True)
    )
    for entry in json.loads((folder / "mistakes" / "mistakes.json").read_text()):
        label, prediction = of_index[entry["index"]]
        assert (entry["truth"], entry["prediction"]) == (CLASSES[label], CLASSES[prediction])
        assert label != prediction and (folder / "mistakes" / entry["file"]).is_file()
    filters = numpy.load(folder / "filters.npy")
    assert filters.shape == (4, 1, 3, 3) and (filters == next(model.parameters()).detach().numpy()).all()


def test_the_run_in_mlflow_gets_figures_and_images(evaluated_yard: Yard) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=evaluated_yard.plan["tracking"]["uri"])
    experiment = client.get_experiment_by_name("trainyard")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    measured = read_outcome(evaluated_yard.evaluation).metrics
    assert {f"test/{name}": value for name, value in measured.items()}.items() <= run.data.metrics.items()
    names = {Path(found.path).name for found in client.list_artifacts(run.info.run_id, "evaluate")}
    of_classifiers = {"confusion.json", "confusion.png", "mistakes.png", "samples.png"}
    assert names == {"metrics.json", "charts.json", *of_classifiers}


def test_the_same_weights_give_the_same_files(yard: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    before = {file: file.read_bytes() for file in sorted(yard.evaluation.rglob("*")) if file.is_file()}
    evaluate.main(COMMAND)
    after = {file: file.read_bytes() for file in sorted(yard.evaluation.rglob("*")) if file.is_file()}
    assert before == after
    assert capsys.readouterr().out.startswith(f"{RECIPE}: accuracy 0.")


def broken(yard: Yard, what: str) -> None:
    weights = torch.load(yard.weights, weights_only=True)
    match what:
        case "truncated":
            yard.weights.write_bytes(yard.weights.read_bytes()[:-100])
        case "other model":
            torch.save({"layer.weight": torch.zeros(3)}, yard.weights)
        case "not numbers":
            next(iter(weights.values())).fill_(math.nan)
            torch.save(weights, yard.weights)
        case "missing":
            yard.weights.unlink()
        case "no training":
            yard.weights.with_name("summary.json").unlink()
        case "no shards":
            (yard.folder / "data" / "shards" / DATASET / "shards.json").unlink()
        case "flipped bit":
            shard = next((yard.folder / "data" / "shards" / DATASET).glob("test-*.tar"))
            content = bytearray(shard.read_bytes())
            content[len(content) // 2] ^= 1
            shard.write_bytes(content)
        case "foreign target":
            yard.write_plan(yard.plan | {"model": {"_target_": "os.system", "command": "touch mark"}})
        case "name outside":
            yard.write_plan(yard.plan | {"name": "../../outside"})


@pytest.mark.parametrize(
    "what",
    [
        *("truncated", "other model", "not numbers", "missing", "no training"),
        *("no shards", "flipped bit", "foreign target", "name outside"),
    ],
)
def test_what_is_broken_is_one_line_and_the_old_evaluation_stays(yard: Yard, what: str) -> None:
    before = {file: file.read_bytes() for file in yard.evaluation.rglob("*") if file.is_file()}
    broken(yard, what)
    with pytest.raises(UserError) as raised:
        evaluate.main(COMMAND)
    assert "\n" not in str(raised.value)
    assert before == {file: file.read_bytes() for file in yard.evaluation.rglob("*") if file.is_file()}
    assert not (yard.folder / "mark").exists()
    assert not list(yard.folder.parent.glob("outside*"))


def test_a_plan_that_is_not_there_says_how_to_write_it(yard: Yard) -> None:
    with pytest.raises(UserError, match=r"pipelines\.plan --all"):
        evaluate.main(["plan=build/plan/nothing.yaml"])


def test_a_run_is_evaluated_where_it_lies(yard: Yard) -> None:
    run = yard.folder / "runs" / "0123"
    shutil.copytree(yard.weights.parent, run)
    shutil.copy(yard.plan_file, run / "plan.yaml")
    before = {file: file.read_bytes() for file in yard.evaluation.rglob("*") if file.is_file()}
    evaluate.main([f"run={run}"])
    for file, content in before.items():
        assert (run / "evaluate" / file.relative_to(yard.evaluation)).read_bytes() == content
        assert file.read_bytes() == content


def test_either_a_plan_or_a_run(yard: Yard) -> None:
    for arguments in ([], [*COMMAND, "run=runs/0123"]):
        with pytest.raises(UserError, match=r"one of plan=\.\.\. and run=\.\.\. is needed"):
            evaluate.main(arguments)


def files_of(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}


class Recorded(list[str]):
    """A tracker that keeps the names of what it is told."""

    def metrics(self, values: dict[str, float], step: int) -> None:
        self.extend(values)

    def artifact(self, file: Path, folder: str) -> None:
        self.append(f"{folder}/{file.name}")

    def finish(self) -> None:
        pass


def test_another_dataset_has_results_of_its_own(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data, recorded = yard.plan["data"] | {"name": "others"}, Recorded()
    draw_stripes(yard.folder / "data" / "raw" / "others", seed=7)
    shards = yard.folder / "data" / "shards" / "others"
    write_shards(read(DataSettings, data), yard.folder / "data" / "raw" / "others", shards)
    monkeypatch.setattr(conf_contents, "dataset", lambda name: data)
    monkeypatch.setattr(Tracker, "reopen", lambda folder: recorded)
    (yard.folder / "runs" / "gone" / "tracking").mkdir(parents=True)
    (yard.folder / "runs" / "gone" / "tracking" / "run.json").write_text("{}")
    before = files_of(yard.evaluation)
    evaluate.main([*COMMAND, "dataset=others"])

    split = ShardSet.open(shards).split("test")
    batch = split.read(numpy.arange(split.num_samples))
    model = build(yard.plan["model"])
    model.load_state_dict(torch.load(yard.weights, weights_only=True))
    with torch.inference_mode():
        taken = model.eval()(torch.from_numpy(batch["image"]).float() / 255).argmax(dim=1)
    outcome = read_outcome(yard.folder / "build" / "evaluate_others" / RECIPE)
    assert outcome.metrics["accuracy"] == float((taken.numpy() == batch["label"]).mean())
    assert outcome.provenance.weights == file_hash(yard.weights)
    assert outcome.provenance.data != read_outcome(yard.evaluation).provenance.data
    assert before == files_of(yard.evaluation)
    assert capsys.readouterr().out.endswith(f"on {split.num_samples} test samples of others\n")
    assert {"test_others/accuracy", "evaluate_others/metrics.json"} <= set(recorded)
    assert all(name.startswith(("test_others/", "evaluate_others/")) for name in recorded)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"classes": [*CLASSES, "none"]}, r"fields\.label\.classes is \[.*'none'\] in others, \["),
        ({"dtype": "uint8"}, r"fields\.label\.dtype is uint8 in others, int64 in stripes"),
        (None, "others has the fields image, and stripes has image, label"),
    ],
)
def test_a_dataset_with_other_fields_is_refused(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, changed: dict[str, object] | None, problem: str
) -> None:
    data = yard.plan["data"] | {"name": "others"}
    label = data["fields"].pop("label")
    if changed is not None:
        data["fields"]["label"] = label | changed
    monkeypatch.setattr(conf_contents, "dataset", lambda name: data)
    with pytest.raises(UserError, match=problem):
        evaluate.main([*COMMAND, "dataset=others"])
    assert not list((yard.folder / "build").glob("evaluate_*"))


def test_a_dataset_that_is_not_there_is_one_line(yard: Yard) -> None:
    with pytest.raises(UserError, match=r"there is no dataset 'reuters_r9'\. Did you mean reuters_r8"):
        evaluate.main([*COMMAND, "dataset=reuters_r9"])
    with pytest.raises(UserError, match=r"'\.\./out'"):
        evaluate.main([*COMMAND, "dataset=../out"])


def keep_best(yard: Yard) -> Path:
    """Makes the yard's training one that kept its best epoch; returns the weights of its last."""
    plan = yard.plan
    plan["trainer"]["keep"] = {"best": 1, "last": 2, "every_epochs": None}
    yard.write_plan(plan)
    last = yard.weights.with_name("weights_last.pt")
    weights = torch.load(yard.weights, weights_only=True)
    torch.save({name: torch.zeros_like(value) for name, value in weights.items()}, last)
    return last


def test_last_weights_are_measured_beside_the_best(yard: Yard) -> None:
    last = keep_best(yard)
    evaluate.main(COMMAND)
    best = read_outcome(yard.evaluation)
    assert best.provenance.weights == file_hash(yard.weights)
    evaluate.main([*COMMAND, "weights=best"])
    assert read_outcome(yard.evaluation).metrics == best.metrics
    evaluate.main([*COMMAND, "weights=last"])
    found = read_outcome(yard.folder / "build" / "evaluate_last" / RECIPE)
    assert found.provenance.weights == file_hash(last)
    assert found.metrics["accuracy"] < best.metrics["accuracy"]
    assert read_outcome(yard.evaluation).metrics == best.metrics, "as it was"


def test_without_a_best_there_are_the_last_weights(yard: Yard) -> None:
    evaluate.main([*COMMAND, "weights=last"])
    assert read_outcome(yard.evaluation).provenance.weights == file_hash(yard.weights)
    with pytest.raises(UserError, match=r"kept no best epoch.*trainer\.keep\.best=1"):
        evaluate.main([*COMMAND, "weights=best"])
    with pytest.raises(UserError, match="weights"):
        evaluate.main([*COMMAND, "weights=first"])
