"""A small yard under real DVC: recipes of one's own on images of stripes, and the repository's code."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from modules.configuration.static_analysis.definitions import ROOT
from tests.pipelines.yard import CLASSES, draw_stripes

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
MODELS = {
    "small_lenet": ("convolutional/lenet", "num_filters: [4], kernel_size: 3, hidden_sizes: [8]"),
    "small_perceptron": ("feedforward/perceptron", "hidden_sizes: [8]"),
}
"""Of small recipes: the model and its sizes."""


def recipe(name: str, model: str, sizes: str) -> str:
    """The text of a recipe that classifies stripes."""
    return RECIPE.format(name=name, model=model, sizes=sizes)


def environment() -> dict[str, str]:
    """With the interpreter of the tests as the `python` of DVC's stages."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, "DVC_NO_ANALYTICS": "1"}


def command(yard: Path, *arguments: str) -> str:
    """Runs a command that has to succeed; returns what it writes."""
    done = subprocess.run(arguments, cwd=yard, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def make_dvc_yard(folder: Path, recipes: Mapping[str, str], spaces: Mapping[str, str]) -> Path:
    """A repository with these recipes and spaces alone, nothing of which is made yet.

    Args:
        folder: gets the yard and its images.
        recipes: their texts by name.
        spaces: likewise.
    """
    yard = folder / "yard"
    for part in ("conf", "modules", "pipelines", "hydra_plugins"):
        shutil.copytree(ROOT / part, yard / part, ignore=shutil.ignore_patterns("__pycache__"))
    for part in ("constraints.txt", "dvc.yaml", ".dvcignore"):
        shutil.copy(ROOT / part, yard / part)
    draw_stripes(folder / "stripes", seed=0)
    (yard / "conf/source/stripes.yaml").write_text(SOURCE.format(path=folder / "stripes"))
    (yard / "conf/data/stripes.yaml").write_text(DATA)
    for group, texts in (("recipe", recipes), ("space", spaces)):
        for path in (yard / "conf" / group).rglob("*.yaml"):
            path.unlink()
        own = yard / "conf" / group / ("own" if group == "recipe" else "")
        own.mkdir(exist_ok=True)
        for name, text in texts.items():
            (own / f"{name}.yaml").write_text(text)
    config = yard / "conf/config.yaml"
    text = config.read_text()
    assert "recipe: convolutional/lenet" in text
    config.write_text(text.replace("recipe: convolutional/lenet", f"recipe: own/{next(iter(recipes))}"))
    shutil.rmtree(yard / "conf/comparison")  # of recipes that are not here
    command(yard, "git", "init", "-q")
    command(yard, "dvc", "init", "-q")
    command(yard, sys.executable, "-m", "pipelines.plan", "--catalogue")
    return yard
