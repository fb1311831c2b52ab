"""`dvc repro` trains again the recipes that an edit reaches, and no other: real DVC on a small yard."""

import re
from pathlib import Path

import pytest
import yaml

from modules.configuration.composition.conf_contents import names
from modules.configuration.static_analysis.definitions import ROOT
from tests.dvc_yard import MODELS, command, make_dvc_yard, recipe

SPACE = """
name: small
recipe: small_perceptron
sweep: random
overrides: [runtime.num_threads=1, sweep.num_trials=2]
axes: ["optimizer.lr=tag(log,interval(1e-3,1e-2))"]
"""


def trained_by_repro(yard: Path) -> set[str]:
    """The recipes that `dvc repro` trains now."""
    output = command(yard, "dvc", "repro", "train@small_lenet", "train@small_perceptron")
    return set(re.findall(r"Running stage 'train@(\w+)'", output))


def swept_by_repro(yard: Path) -> set[str]:
    """The stages of the small space that `dvc repro` runs now."""
    output = command(yard, "dvc", "repro", "train_best@small")
    return set(re.findall(r"Running stage '((?:sweep|train_best)@\w+)'", output))


def weights(yard: Path) -> dict[str, bytes]:
    """The weights that the recipes' runs ended with."""
    return {path.parent.name: path.read_bytes() for path in sorted((yard / "runs").glob("*/weights.pt"))}


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recipes and a space on stripes, under DVC."""
    recipes = {name: recipe(name, model, sizes) for name, (model, sizes) in MODELS.items()}
    return make_dvc_yard(tmp_path_factory.mktemp("again"), recipes, {"small": SPACE})


@pytest.mark.timeout(900)
def test_an_edit_trains_again_what_it_reaches_and_nothing_else(yard: Path) -> None:
    assert trained_by_repro(yard) == {"small_lenet", "small_perceptron"}

    pooling = yard / "modules/bricks/pooling.py"
    edit(pooling, "self.pooling = POOLINGS", "self.kind = kind\n        self.pooling = POOLINGS")
    assert trained_by_repro(yard) == {"small_lenet"}

    # Beside an edit that counts, those that do not: documents count nowhere, how a recipe is searched is none
    # of its training's business, nor is what people saw of it.
    plan = (yard / "build/plan/small_lenet.yaml").read_bytes()
    edit(yard / "conf/model/feedforward/perceptron.yaml", "dropout: 0.0", "dropout: 0.1")
    edit(pooling, "Less resolution, more tolerance", "More tolerance, less resolution")
    edit(yard / "conf/sweep/random.yaml", "num_trials: 20", "num_trials: 30")
    edit(yard / "conf/space/small.yaml", "sweep.num_trials=2", "sweep.num_trials=3")
    edit(yard / "conf/recipe/own/small_lenet.yaml", "at_least: 0.3", "at_least: 0.3, seen: 0.4, minutes: 1")
    (yard / "modules/models/README.md").write_text("About models.")
    (yard / "modules/datamodules/README.md").write_text("About shards.")
    assert trained_by_repro(yard) == {"small_perceptron"}
    edit(yard / "conf/space/small.yaml", "sweep.num_trials=3", "sweep.num_trials=2")
    # The plan that all its stages depend on stays as it is.
    assert (yard / "build/plan/small_lenet.yaml").read_bytes() == plan

    # What shows progress carries a training: its first steps are looked at again.
    edit(yard / "modules/training/monitoring/progress.py", "_REDRAW_EVERY_S = 0.5", "_REDRAW_EVERY_S = 0.6")
    before = weights(yard)
    output = command(yard, "dvc", "repro", "train@small_lenet", "train@small_perceptron")
    assert len(re.findall(r"first \d+ steps give the same weights: runs/\w+ is kept", output)) == 2
    assert "training runs" not in output and weights(yard) == before


@pytest.mark.timeout(900)
def test_an_edit_sweeps_again_what_it_reaches_and_nothing_else(yard: Path) -> None:
    assert swept_by_repro(yard) == {"sweep@small", "train_best@small"}
    for name in ("best.yaml", "ledger.jsonl", "index.html"):
        assert (yard / "build/sweep/small" / name).is_file()
    assert (yard / "build/best/small/small_perceptron_best/weights.pt").is_file()

    edit(yard / "conf/sweep/pbt.yaml", "num_trials: 8", "num_trials: 12")
    edit(yard / "conf/recipe/own/small_lenet.yaml", "batch_size: 20", "batch_size: 10")
    assert swept_by_repro(yard) == set()

    upstream = command(yard, "dvc", "dag", "--dot", "report")
    assert '"plan"' in upstream
    assert not re.search("@small|sweep@|train_best", upstream), "beside the main recipes nothing is asked for"


def test_the_report_waits_for_whole_recipes_that_are_there() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    deps = [Path(dep) for dep in stages["report"]["deps"]]
    main = [dep.name for dep in deps if dep.parent == Path("build/train")]
    assert main == ["neuron", "perceptron", "lenet", "lenet_digits", "dbn_digits"]
    assert set(main) <= set(names("recipe"))
    expected = [Path("build/plan")]
    for name in main:
        expected += [
            Path(f"build/train/{name}"),
            Path(f"build/evaluate/{name}"),
            Path(f"build/promote/{name}.json"),
        ]
    assert deps == expected
