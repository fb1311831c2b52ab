"""A task that serves values instead of classes, from its evaluation to predictions and new data."""

import json
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image

from modules.configuration.errors import UserError
from modules.configuration.static_analysis.targets import build
from modules.registry.outcome import read_outcome
from modules.registry.versions import Registry
from pipelines import evaluate, predict, promote
from tests.pipelines.yard import CLASSES, RECIPE, SIDE, Yard

COMMAND = [f"plan=build/plan/{RECIPE}.yaml"]
CODES = ["code 0", "code 1", "code 2"]
# MLflow 3.17 warns of its own type hints when its scoring part is imported.
pytestmark = pytest.mark.filterwarnings("ignore:.*Any type hint is inferred:UserWarning")


@pytest.fixture
def yard(autoencoder_yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Yard:
    copied = autoencoder_yard.copy(tmp_path / "yard")
    monkeypatch.chdir(copied.folder)
    return copied


def promoted(yard: Yard) -> dict[str, Any]:
    promote.main(COMMAND)
    return json.loads(yard.promotion.read_text())


def trained_task(yard: Yard) -> Any:
    task = build(yard.plan["task"], model=build(yard.plan["model"])).eval()
    task.model.load_state_dict(torch.load(yard.weights, weights_only=True))
    return task


def test_an_evaluation_leaves_what_its_task_finds_and_nothing_of_classifiers(autoencoder_yard: Yard) -> None:
    folder = autoencoder_yard.evaluation
    outcome = read_outcome(folder)
    (output,) = outcome.provenance.outputs
    assert (output["classes"], output["kind"]) == (CODES, "values")
    assert 0.34 < outcome.metrics["code_accuracy"] <= 1 and outcome.metrics["num_samples"] > 50
    assert not {"confusion.json", "mistakes", "filters.npy"} & {file.name for file in folder.iterdir()}
    (entry, *_) = json.loads((folder / "images/images.json").read_text())
    with Image.open(folder / "images" / entry["file"]) as image:
        assert image.width > SIDE


def test_a_prediction_names_every_value(yard: Yard, capsys: pytest.CaptureFixture[str]) -> None:
    result = promoted(yard)
    assert result["champion"] is True and "takes [1, 12, 12], gives 3 outputs" in str(result["gates"])
    image = yard.folder / "data/raw" / f"{RECIPE}0" / CLASSES[0] / "003.png"
    arguments = [f"model={RECIPE}", f"input={image}", f"tracking={yard.plan['tracking']['uri']}"]
    capsys.readouterr()
    predict.main([*arguments, "output=json"])
    (said,) = json.loads(capsys.readouterr().out)
    pixels = torch.from_numpy(numpy.array(Image.open(image))).float()[None, None] / 255
    with torch.inference_mode():
        expected = trained_task(yard).model.encode(pixels)[0].tolist()
    assert list(said["outputs"]) == CODES and "classes" not in said
    assert list(said["outputs"].values()) == pytest.approx(expected, abs=1e-5)
    predict.main(arguments)
    printed = capsys.readouterr().out
    assert all(name in printed for name in CODES) and "%" not in printed and f"{expected[0]:.4g}" in printed


def test_all_weights_are_registered_not_only_those_that_serve(yard: Yard) -> None:
    promoted(yard)
    registry = Registry(yard.plan["tracking"])
    with registry.fetched(registry.resolve(RECIPE)) as folder:
        kept = torch.load(folder / "weights.pt", weights_only=True)
    assert kept.keys() == trained_task(yard).model.state_dict().keys()
    assert any(name.startswith("decoder") for name in kept)


def test_a_champion_is_measured_on_new_data_by_its_own_weights(yard: Yard) -> None:
    promoted(yard)
    old = yard.weights.read_bytes()
    yard.write_shards(seed=5)
    fresh = yard.train(num_epochs=12)
    evaluate.main(COMMAND)
    measured = read_outcome(yard.evaluation).metrics["code_accuracy"]
    result = promoted(yard)
    assert result["version"] == 2 and result["champion"] == (measured > result["previous"]["code_accuracy"])
    # The champion's weights, evaluated as if they were the recipe's.
    summary = yard.weights.with_name("summary.json")
    summary.write_text(json.dumps(json.loads(summary.read_text()) | {"run_folder": "runs/gone"}))
    yard.weights.write_bytes(old)
    evaluate.main(COMMAND)
    again = read_outcome(yard.evaluation)
    assert again.provenance.identity == fresh
    assert result["previous"] == {"version": 1, "code_accuracy": again.metrics["code_accuracy"]}


def test_an_expected_metric_that_was_not_measured_leaves_nothing(yard: Yard) -> None:
    yard.write_plan(yard.plan | {"expected": {"metric": "noise_removed", "at_least": 0.5}})
    before = (yard.evaluation / "metrics.json").read_bytes()
    with pytest.raises(
        UserError, match=r"expected\.metric=noise_removed is not among .* There is: code_accuracy, "
    ):
        evaluate.main(COMMAND)
    assert (yard.evaluation / "metrics.json").read_bytes() == before
