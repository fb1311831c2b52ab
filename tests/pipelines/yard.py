"""A small yard of its own: images of stripes in shards, a trained network, its run in MLflow."""

import hashlib
import json
import math
import shutil
from pathlib import Path
from typing import Any

import torch
import yaml
from PIL import Image

from modules.configuration.composition.compose import compose
from modules.configuration.schema.data_settings import DataSettings
from modules.configuration.schema.settings import read
from modules.configuration.static_analysis.targets import build
from modules.datamodules.shard_loader import TrainingLoader
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_writer import write_shards
from modules.tracking.tracker import Tracker
from tests.plans import COST

RECIPE, DATASET = "stripes", "stripes"
CLASSES = ["across", "down", "slanting"]
SIDE, PER_CLASS = 12, 60
CLASSIFIER = ["model.num_filters=[4]", "model.kernel_size=3", "model.hidden_sizes=[16]", "model.dropout=0.0"]
AUTOENCODER = [
    "model=feedforward/autoencoder",
    "model.hidden_sizes=[16]",
    "model.code_size=3",
    "task=reconstruction",
]


class Yard:
    """A folder as the verbs before `evaluate` leave it. Commands are to be given from within it.

    Args:
        folder: where it lies.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.plan_file = folder / "build" / "plan" / f"{RECIPE}.yaml"
        self.weights = folder / "build" / "train" / RECIPE / "weights.pt"
        self.evaluation = folder / "build" / "evaluate" / RECIPE
        self.promotion = folder / "build" / "promote" / f"{RECIPE}.json"

    @property
    def plan(self) -> dict[str, Any]:
        return yaml.safe_load(self.plan_file.read_text())

    def write_plan(self, plan: dict[str, Any]) -> None:
        self.plan_file.parent.mkdir(parents=True, exist_ok=True)
        self.plan_file.write_text(yaml.safe_dump(plan, sort_keys=False))

    def write_shards(self, seed: int) -> None:
        """Other images of the same classes."""
        raw = self.folder / "data" / "raw" / f"{DATASET}{seed}"
        draw_stripes(raw, seed)
        write_shards(read(DataSettings, self.plan["data"]), raw, self.folder / "data" / "shards" / DATASET)

    def train(self, num_epochs: int, tracked: bool = True) -> str:
        """Trains for a moment, leaves what `train` leaves, and gives the run's identity."""
        plan = self.plan
        torch.manual_seed(0)
        task = build(plan["task"], model=build(plan["model"]))
        optimizer = torch.optim.Adam(task.model.parameters(), lr=0.01)
        split = ShardSet.open(self.folder / "data" / "shards" / DATASET).split("train")
        loader = TrainingLoader(split, batch_size=20, block_steps=1, seed=0)
        for _ in range(num_epochs):
            for block in loader:
                loss = task.loss({name: steps[0] for name, steps in block.items()}).quotient
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        self.weights.parent.mkdir(parents=True, exist_ok=True)
        torch.save(task.model.state_dict(), self.weights)
        identity = hashlib.sha256(self.weights.read_bytes()).hexdigest()
        run_folder = self.folder / "runs" / identity[:16]
        if tracked:
            tags = {"git_commit": "c" * 40, "git_dirty": "false"}
            run = {"name": RECIPE, "identity": identity, "tags": tags}
            Tracker(run_folder / "tracking", plan["tracking"], run).finish()
        summary = {
            "recipe": RECIPE,
            "identity": identity,
            "run_folder": str(run_folder),
            "steps": num_epochs * len(loader),
        }
        self.weights.with_name("summary.json").write_text(json.dumps(summary))
        self.weights.with_name("history.json").write_text(json.dumps({"train/loss": [[1, 0.5], [2, 0.25]]}))
        return identity

    def copy(self, folder: Path) -> "Yard":
        """The same yard elsewhere, with a tracker of its own."""
        shutil.copytree(self.folder, folder)
        copied = Yard(folder)
        copied.write_plan(copied.plan | {"tracking": tracking(folder)})
        return copied


def tracking(folder: Path) -> dict[str, Any]:
    return {
        "uri": f"sqlite:///{folder / 'mlflow.db'}",
        "artifact_root": str(folder / "mlartifacts"),
        "experiment": "trainyard",
        "system_metrics_every_s": 0.0,
        "drain_timeout_s": 60.0,
    }


def draw_stripes(folder: Path, seed: int) -> None:
    """Noisy grey images, a folder for each class."""
    generator = torch.Generator().manual_seed(seed)
    row, column = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    for name, place in zip(CLASSES, (row, column, row + column), strict=True):
        (folder / name).mkdir(parents=True)
        for number in range(PER_CLASS):
            shift = int(torch.randint(3, (), generator=generator))
            clean = torch.sin((place + shift) * math.pi / 3)
            noisy = 0.5 + 0.25 * clean + 0.35 * torch.randn(SIDE, SIDE, generator=generator)
            pixels = (noisy.clamp(0, 1) * 255).to(torch.uint8).numpy()
            Image.fromarray(pixels).save(folder / name / f"{number:03d}.png")
    source = {"name": DATASET, "sha256": "", "licence": "CC0-1.0"}
    (folder / "source.json").write_text(json.dumps(source))


def make_yard(folder: Path, overrides: list[str] = CLASSIFIER, metric: str = "accuracy") -> Yard:
    """A yard whose recipe is trained and tracked, and not yet evaluated.

    Args:
        folder: where it lies.
        overrides: that make the recipe from lenet's.
        metric: that it expects.
    """
    yard = Yard(folder)
    data = {
        "name": DATASET,
        "title": "Stripes",
        "source": {
            "_target_": "modules.sources.local_folder.LocalFolder",
            "name": DATASET,
            "path": "x",
            "licence": "CC0",
        },
        "reader": {"_target_": "modules.datamodules.formats.image_folder.ImageFolderReader"},
        "fields": {
            "image": {
                "dtype": "uint8",
                "shape": [1, SIDE, SIDE],
                "axes": ["channel", "height", "width"],
                "units": "grey level 0..255",
            },
            "label": {"dtype": "int64", "shape": [], "axes": [], "units": "class number", "classes": CLASSES},
        },
        "splits": {
            "test": {"from": "train", "fraction": 0.4},
            "validation": {"from": "train", "fraction": 0.1},
        },
        "samples_per_record": 10,
    }
    plan = compose(["recipe=lenet", f"expected.metric={metric}", *overrides])
    del plan["sweep"]  # a plan is the same however it is searched
    plan["model"]["input_shape"] = [1, SIDE, SIDE]
    for section in ("model", "task"):
        if "num_classes" in plan[section]:
            plan[section]["num_classes"] = len(CLASSES)
    plan |= {"name": RECIPE, "data": data, "tracking": tracking(folder)}
    plan |= {"expected": {"metric": metric, "at_least": 0.4}}
    plan |= {
        "code": {"fingerprint": "0" * 64, "files": {}, "environment": ""},
        "cost": COST.to_plain(),
    }
    yard.write_plan(plan)
    yard.write_shards(seed=0)
    yard.train(num_epochs=8)
    return yard
