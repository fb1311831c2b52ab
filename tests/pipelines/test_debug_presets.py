"""`debug=overfit` and `debug=one_step`: with every recipe, and never taken for the real training."""

import json
import shutil
from pathlib import Path

import pytest

from modules.configuration.composition.compose import compose
from modules.configuration.composition.conf_contents import names
from modules.configuration.composition.recipes import recipe_files
from modules.configuration.plans.identity import identity
from modules.configuration.schema.phases import trainings
from tests.commands import run
from tests.plans import plan_of
from tests.recipes.test_every_recipe import KINDS
from tests.training.small import forget_origin, write_small_shards

PRESETS = names("debug")
SMALL = ["data=fashion_mnist", "data.samples_per_record=50", "trainer.batch_size=16", "runtime.num_threads=1"]


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("debugged")
    shards = folder / "data" / "shards" / "fashion_mnist"
    write_small_shards(shards)
    # Those of any dataset: of older ones it is not known what they were made of.
    (folder / "older").mkdir()
    shutil.copy(shards / "shards.json", folder / "older")
    forget_origin(folder / "older")
    return folder


@pytest.mark.parametrize("recipe", [case for case in KINDS.values() if case in recipe_files()])
def test_every_kind_of_recipe_goes_with_every_preset_and_is_another_run(recipe: str, yard: Path) -> None:
    assert PRESETS == ["one_step", "overfit"]
    found = {}
    for preset in (None, *PRESETS):
        chosen = [] if preset is None else [f"debug={preset}"]
        config = compose([f"recipe={recipe}", *chosen])
        found[preset] = identity(plan_of(config), yard / "older")
        for one in trainings(config) if preset else ():
            assert one["trainer"]["max_steps"] == (1 if preset == "one_step" else 500)
            assert one["tracking"]["uri"] is None
    assert len(set(found.values())) == 1 + len(PRESETS)


def summaries(folder: Path) -> dict[str, dict]:
    found = [json.loads(path.read_text()) for path in folder.glob("runs/*/summary.json")]
    return {summary["recipe"]: summary for summary in found}


@pytest.mark.parametrize("recipe", ["lenet_digits", "perceptron", "neuron"])
def test_overfit_learns_one_batch_by_heart(recipe: str, tmp_path: Path, yard: Path) -> None:
    """Weight decay, and the augmentation and dropout of the first two recipes, would keep them from it."""
    (tmp_path / "data").symlink_to(yard / "data")
    chosen = [f"recipe={recipe}", "debug=overfit", *SMALL, "optimizer.weight_decay=10"]
    status, out, err = run("pipelines.train", *chosen, folder=tmp_path)
    assert status == 0, err
    assert f"{recipe}: 500 steps" in out
    (history,) = [json.loads(path.read_text()) for path in tmp_path.glob("runs/*/history.json")]
    losses = [loss for _, loss in history["train/loss"]]
    assert losses[-1] < 0.02 < losses[0]
    assert "epoch 5/5  step 500  train/loss 0.0" in err


@pytest.mark.parametrize("recipe", ["lenet", "dbn"])
def test_one_step_is_one_step_of_each_phase_with_the_same_bits_again(
    recipe: str, tmp_path: Path, yard: Path
) -> None:
    weights = []
    for name in ("once", "again"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "data").symlink_to(yard / "data")
        status, _, err = run("pipelines.train", f"recipe={recipe}", "debug=one_step", *SMALL, folder=folder)
        assert status == 0, err
        trained = summaries(folder)
        assert recipe in trained and (len(trained) > 1) == (recipe == "dbn")
        assert {(summary["steps"], summary["epochs"]) for summary in trained.values()} == {(1, 1)}
        assert not (folder / "mlflow.db").exists()
        weights.append((folder / "runs" / trained[recipe]["identity"][:16] / "weights.pt").read_bytes())
    assert weights[0] == weights[1]
