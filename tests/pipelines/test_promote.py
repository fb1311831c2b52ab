"""Promotion in a real MLflow: gates, champions, interruptions, registered files that were changed."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
import yaml

from modules.configuration.errors import UserError
from modules.evaluation.findings import write_json
from modules.registry.model_signature import Port
from modules.registry.outcome import Provenance, read_outcome
from modules.registry.versions import PROGRAM, Registry, Version
from modules.tracking.store import absolute_settings, open_store
from pipelines import evaluate, promote
from tests.commands import Command, run
from tests.pipelines.yard import CLASSES, DATASET, RECIPE, SIDE, Yard, tracking

COMMAND = [f"plan=build/plan/{RECIPE}.yaml"]
# MLflow 3.17 warns of its own type hints when its scoring part is imported.
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")


@pytest.fixture
def yard(evaluated_yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Yard:
    monkeypatch.chdir(tmp_path)
    copied = evaluated_yard.copy(tmp_path / "yard")
    monkeypatch.chdir(copied.folder)
    return copied


@pytest.fixture
def champion_yard(yard: Yard) -> Yard:
    """Version 1 is champion."""
    assert promoted(yard)["champion"]
    return yard


def promoted(yard: Yard) -> dict[str, Any]:
    promote.main(COMMAND)
    return json.loads(yard.promotion.read_text())


def gates(result: dict[str, Any]) -> dict[str, bool]:
    return {gate["gate"]: gate["passed"] for gate in result["gates"]}


def detail(result: dict[str, Any], name: str) -> str:
    return next(gate["detail"] for gate in result["gates"] if gate["gate"] == name)


def challenge(
    yard: Yard, identity: str, metrics: dict[str, float] | None = None, **provenance: Any
) -> dict[str, Any]:
    """Another run with the same weights, as if it had been evaluated so; then its promotion."""
    client, experiment_id = open_store(absolute_settings(yard.plan["tracking"]))
    client.create_run(experiment_id, tags={"identity": identity})
    outcome = read_outcome(yard.evaluation)
    changed = Provenance(**{**vars(outcome.provenance), "identity": identity, **provenance})
    write_json(vars(changed), yard.evaluation / "provenance.json")
    write_json({**outcome.metrics, **(metrics or {})}, yard.evaluation / "metrics.json")
    return promoted(yard)


def swapped(yard: Yard) -> list[dict[str, Any]]:
    """What is served, with the classes in another order."""
    (output,) = read_outcome(yard.evaluation).provenance.outputs
    return [output | {"classes": CLASSES[::-1]}]


def registry(yard: Yard) -> Registry:
    return Registry(yard.plan["tracking"])


def champion(yard: Yard) -> Version:
    found = registry(yard).champion(RECIPE)
    assert found is not None
    return found


def test_the_recipes_tracker_is_the_registry_whatever_the_environment_says(
    yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = f"sqlite:///{tmp_path}/other.db"
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.setenv(name, other)
    assert promoted(yard)["champion"] is True
    assert champion(yard).number == 1
    assert not (tmp_path / "other.db").exists() and os.environ["MLFLOW_TRACKING_URI"] == other


def test_the_first_version_is_registered_with_all_that_is_known_of_it(
    yard: Yard, capsys: pytest.CaptureFixture[str]
) -> None:
    result = promoted(yard)
    assert (result["recipe"], result["model"], result["version"]) == (RECIPE, RECIPE, 1)
    assert result["champion"] is True and result["previous"] is None
    assert gates(result) == {"score": True, "served": True, "signature": True, "expected": True}
    printed = capsys.readouterr().out
    assert "stripes version 1: registered" in printed and "champion: stripes version 1" in printed

    version, outcome = champion(yard), read_outcome(yard.evaluation)
    assert version.tags["identity"] == outcome.provenance.identity
    assert version.tags["data.test"] == outcome.provenance.data["test"]
    assert version.tags["git_commit"] == "c" * 40 and version.tags["git_dirty"] == "false"
    assert float(version.tags["test.accuracy"]) == outcome.metrics["accuracy"]
    assert version.signature.outputs == (Port("classes", (3,), tuple(CLASSES), "label"),)
    assert version.signature.inputs == (Port("image", (1, SIDE, SIDE), (), "image"),)
    assert version.run_id == result["run_id"]
    with registry(yard).fetched(version) as folder:
        from mlflow.models import Model

        model = Model.load(str(folder))
        assert model.signature is not None and model.metadata is not None
        assert model.signature.inputs.inputs[0].shape == (-1, 1, SIDE, SIDE)
        assert model.metadata["outputs"][0]["classes"] == CLASSES
        assert json.loads((folder / "description.json").read_text())["inputs"][0]["kind"] == "image"
        example = model.load_input_example(str(folder))
        assert example is not None
        assert numpy.allclose(example[0], outcome.examples["image"][0])
        assert yaml.safe_load((folder / "plan.yaml").read_text()) == yard.plan
        weights = torch.load(folder / "weights.pt", weights_only=True)
        trained = torch.load(yard.weights, weights_only=True)
        assert weights.keys() == trained.keys()
        assert all(torch.equal(weights[name], trained[name]) for name in trained)


def test_a_second_promotion_does_nothing_and_says_so(
    champion_yard: Yard, capsys: pytest.CaptureFixture[str]
) -> None:
    first = champion_yard.promotion.read_bytes()
    champion_yard.promotion.unlink()  # as DVC does before it runs a stage again
    before = registry(champion_yard).find(RECIPE, champion(champion_yard).tags["identity"])
    capsys.readouterr()
    promoted(champion_yard)
    assert champion_yard.promotion.read_bytes() == first
    assert "registered before, nothing to do" in capsys.readouterr().out
    assert registry(champion_yard).find(RECIPE, champion(champion_yard).tags["identity"]) == before


@pytest.mark.parametrize(("difference", "wins"), [(0.05, True), (0.0, False), (-0.05, False)])
def test_only_a_better_challenger_becomes_champion(
    champion_yard: Yard, difference: float, wins: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    accuracy = read_outcome(champion_yard.evaluation).metrics["accuracy"]
    result = challenge(champion_yard, "b" * 64, {"accuracy": accuracy + difference})
    assert result["version"] == 2 and result["champion"] is wins
    assert gates(result)["score"] is wins and result["previous"] == {"version": 1, "accuracy": accuracy}
    assert champion(champion_yard).number == (2 if wins else 1)
    assert ("the champion stays: score failed" in capsys.readouterr().out) is not wins


def test_a_score_below_the_expected_one_is_told_and_still_wins(yard: Yard) -> None:
    yard.write_plan(yard.plan | {"expected": {"metric": "accuracy", "at_least": 0.999}})
    result = promoted(yard)
    assert gates(result)["expected"] is False and result["champion"] is True


def test_other_classes_are_another_signature(champion_yard: Yard) -> None:
    result = challenge(champion_yard, "b" * 64, {"accuracy": 1.0}, outputs=swapped(champion_yard))
    assert gates(result) == {"score": True, "served": True, "signature": False, "expected": True}
    assert result["champion"] is False and "another order" in detail(result, "signature")


def test_a_champion_of_other_data_is_measured_again_on_these(champion_yard: Yard) -> None:
    old = read_outcome(champion_yard.evaluation).metrics["accuracy"]
    champion_yard.write_shards(seed=5)
    champion_yard.train(num_epochs=25)
    evaluate.main(COMMAND)
    fresh = read_outcome(champion_yard.evaluation)
    assert fresh.metrics["accuracy"] > old + 0.1
    result = promoted(champion_yard)
    # The champion's own figure on the new images, counted by hand from its registered program.
    from modules.datamodules.shard_set import ShardSet
    from modules.registry.export import load_program

    split = ShardSet.open(champion_yard.folder / "data" / "shards" / DATASET).split("test")
    batch = split.read(numpy.arange(split.num_samples))
    with registry(champion_yard).fetched(registry(champion_yard).resolve(f"{RECIPE}@1")) as folder:
        program, _ = load_program(folder / PROGRAM)
        taken = program(torch.from_numpy(batch["image"]).float() / 255).argmax(dim=1).numpy()
    measured = float((taken == batch["label"]).mean())
    assert result["previous"] == {"version": 1, "accuracy": pytest.approx(measured)}
    assert result["champion"] is (fresh.metrics["accuracy"] > measured)
    assert champion(champion_yard).number == (2 if result["champion"] else 1)


def test_a_champion_of_other_data_and_another_signature_cannot_be_compared(champion_yard: Yard) -> None:
    result = challenge(
        champion_yard, "b" * 64, {"accuracy": 1.0}, outputs=swapped(champion_yard), data={"test": "0" * 64}
    )
    assert gates(result)["score"] is False and "cannot be compared with the champion" in detail(
        result, "score"
    )
    assert result["champion"] is False


def _artifact_root(yard: Yard) -> str:
    client, experiment_id = open_store(absolute_settings(yard.plan["tracking"]))
    return client.get_experiment(experiment_id).artifact_location


def newest_program(yard: Yard) -> Path:
    return max(Path(_artifact_root(yard)).rglob("model.pt2"), key=lambda file: file.stat().st_mtime_ns)


@pytest.mark.parametrize("name", ["model.pt2", "MLmodel"])
def test_a_registered_file_that_was_changed_is_not_loaded(champion_yard: Yard, name: str) -> None:
    file = newest_program(champion_yard)
    file = file if name == "model.pt2" else file.parents[1] / "MLmodel"
    file.write_bytes(file.read_bytes() + b"\n")
    with (
        pytest.raises(UserError, match="not those registered") as raised,
        registry(champion_yard).fetched(champion(champion_yard)),
    ):
        pass
    assert "Nothing of them was run" in str(raised.value)
    # Such a champion cannot be measured on other data, so no one beats it by default.
    result = challenge(champion_yard, "b" * 64, {"accuracy": 1.0}, data={"test": "0" * 64})
    assert gates(result)["score"] is False and "cannot be run" in detail(result, "score")


def interrupted_at(method: str) -> Callable[[pytest.MonkeyPatch], None]:
    def arrange(patch: pytest.MonkeyPatch) -> None:
        def stop(*_: Any, **__: Any) -> None:
            raise KeyboardInterrupt

        patch.setattr(f"mlflow.MlflowClient.{method}", stop)

    return arrange


@pytest.mark.parametrize(
    "method",
    [
        *("log_model_artifacts", "finalize_logged_model", "create_model_version"),
        *("set_registered_model_alias", "set_model_version_tag"),
    ],
)
def test_an_interrupted_promotion_is_completed_by_the_next(
    yard: Yard, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    with monkeypatch.context() as patch:
        interrupted_at(method)(patch)
        with pytest.raises(KeyboardInterrupt):
            promote.main(COMMAND)
    assert not yard.promotion.exists()
    result = promoted(yard)
    assert result["version"] == 1 and result["champion"] is True
    assert champion(yard).tags["settled"] == "true"
    client, experiment_id = open_store(absolute_settings(yard.plan["tracking"]))
    assert len(client.search_logged_models([experiment_id])) == 1


def test_a_killed_promotion_is_completed_by_the_next(yard: Yard) -> None:
    """SIGKILL at several moments of the whole command, each in the state that the one before left."""
    for delay_s in (1.5, 3.0, 4.5):
        process = Command("pipelines.promote", *COMMAND, folder=yard.folder)
        time.sleep(delay_s)
        process.kill()
        process.wait()
        process.close()
    result = promoted(yard)
    assert result["version"] == 1 and result["champion"] is True and champion(yard).number == 1


def failed_line(yard: Yard, *overrides: str) -> str:
    status, _, err = run("pipelines.promote", *COMMAND, *overrides, folder=yard.folder)
    assert status == 2 and not yard.promotion.exists(), err
    (line,) = err.splitlines()
    assert line.startswith("error: ")
    return line


def test_a_tracker_that_is_down_is_one_line_and_nothing_is_left(yard: Yard) -> None:
    up = yard.plan
    yard.write_plan(up | {"tracking": up["tracking"] | {"uri": "http://127.0.0.1:9", "artifact_root": None}})
    started = time.monotonic()
    assert "the tracker http://127.0.0.1:9 does not do its part" in failed_line(yard)
    assert time.monotonic() - started < 45
    yard.write_plan(up)
    assert promoted(yard)["champion"] is True


def test_a_database_that_is_none_is_one_line(yard: Yard) -> None:
    (yard.folder / "mlflow.db").write_bytes(b"no database" * 1000)
    assert "does not do its part" in failed_line(yard)


def test_no_tracker_no_registry(yard: Yard) -> None:
    yard.write_plan(yard.plan | {"tracking": yard.plan["tracking"] | {"uri": None}})
    with pytest.raises(UserError, match="tracking is off"):
        promote.main(COMMAND)


@pytest.mark.parametrize("pulled", [False, True])
def test_what_its_registry_has_lost_is_sent_and_registered_again(
    champion_yard: Yard, pulled: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    yard, lost = champion_yard, ["look=lost.yaml"]
    promote.main(lost)
    assert Path("lost.yaml").read_text() == "{}\n"
    before = json.loads(yard.promotion.read_text())
    # An empty tracker in its place; what `dvc pull` brings is without run folders.
    yard.write_plan(yard.plan | {"tracking": tracking(yard.folder / "new")})
    if pulled:
        shutil.rmtree("runs")
    promote.main(lost)
    assert yaml.safe_load(Path("lost.yaml").read_text()) == {RECIPE: [before["run_id"]]}
    after = promoted(yard)
    assert (after["version"], after["champion"]) == (1, True) and after["run_id"] != before["run_id"]
    promote.main(lost)
    assert yaml.safe_load(Path("lost.yaml").read_text()) == {RECIPE: [before["run_id"]]}
    client, _ = open_store(absolute_settings(yard.plan["tracking"]))
    run = client.get_run(after["run_id"])
    assert run.info.status == "FINISHED"
    if pulled:
        assert run.data.metrics["train/loss"] == 0.25
        accuracy = read_outcome(yard.evaluation).metrics["accuracy"]
        assert run.data.metrics["test/accuracy"] == accuracy
        assert client.list_artifacts(after["run_id"], "evaluate")


def test_a_run_that_the_tracker_never_knew_is_sent_first(yard: Yard) -> None:
    yard.train(num_epochs=1, tracked=False)
    evaluate.main(COMMAND)
    assert promoted(yard)["version"] == 1


def test_an_evaluation_of_other_weights_is_not_promoted(yard: Yard) -> None:
    yard.weights.write_bytes(yard.weights.read_bytes() + b"\n")
    with pytest.raises(UserError, match="of other weights"):
        promote.main(COMMAND)


@pytest.mark.parametrize("name", ["metrics.json", "provenance.json", "examples.npz"])
@pytest.mark.parametrize("content", [None, b"", b"[]"])
def test_a_broken_evaluation_says_to_evaluate_again(yard: Yard, name: str, content: bytes | None) -> None:
    file = yard.evaluation / name
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    with pytest.raises(UserError, match=r"pipelines\.evaluate plan="):
        promote.main(COMMAND)


def test_where_nothing_is_served_there_is_nothing_to_promote(yard: Yard) -> None:
    provenance = json.loads((yard.evaluation / "provenance.json").read_text())
    write_json(provenance | {"inputs": [], "outputs": []}, yard.evaluation / "provenance.json")
    (yard.evaluation / "examples.npz").unlink()
    with pytest.raises(UserError, match="stripes serves nothing: the task Classification exports no model"):
        promote.main(COMMAND)
    assert not yard.promotion.exists()


def test_an_expected_metric_that_was_not_measured_is_named(yard: Yard) -> None:
    metrics = json.loads((yard.evaluation / "metrics.json").read_text())
    del metrics["accuracy"]
    write_json(metrics, yard.evaluation / "metrics.json")
    with pytest.raises(UserError, match=r"expected\.metric=accuracy is not among"):
        promote.main(COMMAND)


def test_last_weights_are_promoted_where_they_are_asked_for(yard: Yard) -> None:
    plan = yard.plan
    plan["trainer"]["keep"] = {"best": 1, "last": 2, "every_epochs": None}
    yard.write_plan(plan)
    last = yard.weights.with_name("weights_last.pt")
    weights = torch.load(yard.weights, weights_only=True)
    torch.save({name: value * 0.99 for name, value in weights.items()}, last)
    with pytest.raises(UserError, match=r"was not evaluated.*evaluate plan=.* weights=last"):
        promote.main([*COMMAND, "weights=last"])
    evaluate.main([*COMMAND, "weights=last"])
    promote.main([*COMMAND, "weights=last"])
    version = champion(yard)
    measured = read_outcome(yard.folder / "build" / "evaluate_last" / RECIPE)
    assert version.tags["weights"] == measured.provenance.weights
    promote.main([*COMMAND, "weights=last"])  # nothing to do
    with pytest.raises(UserError, match="version 1 is this run already, with its other weights"):
        promote.main([*COMMAND, "weights=best"])
