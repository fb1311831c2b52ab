"""`dvc repro` trains again the recipes that an edit reaches, and no other: real DVC on a small yard."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from modules.configuration.composition.catalogue import names
from tests.pipelines.yard import CLASSES, draw_stripes

ROOT = Path(__file__).parents[1]

SOURCE = "_target_: modules.sources.local_folder.LocalFolder\nname: stripes\npath: {path}\nlicence: CC0-1.0\n"
DATA = f"""
defaults: [/source@source: stripes, _self_]
name: stripes
title: Stripes
reader: {{_target_: modules.datamodules.formats.image_folder.ImageFolderReader}}
fields:
  image: {{dtype: uint8, shape: [1, 12, 12], axes: [channel, height, width], units: grey level}}
  label: {{dtype: int64, shape: [], axes: [], units: class number, classes: [{", ".join(CLASSES)}]}}
splits: {{test: {{from: train, fraction: 0.2}}, validation: {{from: train, fraction: 0.1}}}}
samples_per_record: 50
"""
RECIPE = """# @package _global_
# {name} on stripes.
defaults:
  - override /data: stripes
  - override /model: {model}
  - override /tracking: none
name: {name}
model: {{{sizes}}}
trainer: {{max_epochs: 1, batch_size: 20}}
expected: {{metric: accuracy, at_least: 0.3}}
"""


SPACE = """
name: small
recipe: small_perceptron
sweep: random
overrides: [runtime.num_threads=1, sweep.num_trials=2]
axes: ["optimizer.lr=tag(log,interval(1e-3,1e-2))"]
"""


def command(yard: Path, *arguments: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(arguments, cwd=yard, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


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
    tmp_path = tmp_path_factory.mktemp("again")
    yard = tmp_path / "yard"
    for part in ("conf", "modules", "pipelines", "hydra_plugins"):
        shutil.copytree(ROOT / part, yard / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("constraints.txt", "dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / part, yard / part)
    draw_stripes(tmp_path / "stripes", seed=0)
    (yard / "conf/source/stripes.yaml").write_text(SOURCE.format(path=tmp_path / "stripes"))
    (yard / "conf/data/stripes.yaml").write_text(DATA)
    for recipe in (yard / "conf/recipe").rglob("*.yaml"):
        recipe.unlink()
    (yard / "conf/recipe/own").mkdir()
    for name, model, sizes in (
        ("small_lenet", "convolutional/lenet", "num_filters: [4], kernel_size: 3, hidden_sizes: [8]"),
        ("small_perceptron", "feedforward/perceptron", "hidden_sizes: [8]"),
    ):
        text = RECIPE.format(name=name, model=model, sizes=sizes)
        (yard / f"conf/recipe/own/{name}.yaml").write_text(text)
    edit(yard / "conf/config.yaml", "recipe: convolutional/lenet", "recipe: own/small_lenet")
    for space in (yard / "conf/space").glob("*.yaml"):
        space.unlink()
    (yard / "conf/space/small.yaml").write_text(SPACE)
    shutil.rmtree(yard / "conf/comparison")  # of recipes that are not here
    command(yard, "git", "init", "-q")
    command(yard, "dvc", "init", "-q")
    command(yard, sys.executable, "-m", "pipelines.plan", "--catalogue")
    return yard


@pytest.mark.timeout(900)
def test_an_edit_trains_again_what_it_reaches_and_nothing_else(yard: Path) -> None:
    assert trained_by_repro(yard) == {"small_lenet", "small_perceptron"}

    pooling = yard / "modules/bricks/pooling.py"
    edit(pooling, "self.pooling = POOLINGS", "self.kind = kind\n        self.pooling = POOLINGS")
    assert trained_by_repro(yard) == {"small_lenet"}

    edit(yard / "conf/model/feedforward/perceptron.yaml", "dropout: 0.0", "dropout: 0.1")
    assert trained_by_repro(yard) == {"small_perceptron"}

    # Documents count nowhere, and how a recipe is searched is none of its training's business.
    edit(pooling, "Less resolution, more tolerance", "More tolerance, less resolution")
    edit(yard / "conf/sweep/random.yaml", "num_trials: 20", "num_trials: 30")
    edit(yard / "conf/space/small.yaml", "sweep.num_trials=2", "sweep.num_trials=3")
    (yard / "modules/models/README.md").write_text("About models.")
    (yard / "modules/datamodules/README.md").write_text("About shards.")
    assert trained_by_repro(yard) == set()
    edit(yard / "conf/space/small.yaml", "sweep.num_trials=3", "sweep.num_trials=2")

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
