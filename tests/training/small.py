"""A small dataset that is quickly learned, and plans over it."""

import gzip
import json
import struct
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from modules.configuration.composition.compose import compose
from modules.configuration.composition.conf_contents import names
from modules.configuration.plans.run_plan import Code, Plan
from modules.configuration.static_analysis.code_fingerprint import code_files, fingerprint_of
from modules.datamodules.chosen_samples import choose
from modules.datamodules.shard_loader import TrainingLoader
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_writer import MAX_SHARD_BYTES, write_shards
from tests.plans import plan_of, recipe_configuration

NUM_TRAINING = 960  # a few less after the validation split is cut off


def recipes_of_every_task() -> list[str]:
    """The recipes of the first tutorial, and one on grey images of 28x28 for each other task."""
    found = {}
    for recipe in names("recipe"):
        config = recipe_configuration(recipe)
        if config["model"].get("input_shape") == [1, 28, 28] and not config["task"].get("preprocessing"):
            found.setdefault(config["task"]["_target_"], recipe)
    return sorted({"lenet", "lenet_digits", "neuron", "perceptron", *found.values()})


def small_loader(plan: Plan, data: ShardSet) -> TrainingLoader:
    """The training split as a plan's training takes it; teachers are of one opinion on everything."""
    settings = plan.trainer
    split = data.split("train")
    opinion = np.log(np.linspace(1, 10, 10, dtype=np.float32) / 55)
    more = {"teacher": np.tile(opinion, (split.num_samples, 1))} if plan.teacher else {}
    chosen = choose(split, settings, plan.seed, more)
    return TrainingLoader(chosen, settings.batch_size, settings.block_steps, plan.seed, order=settings.order)


def small_plan(recipe: str, *overrides: str, data: str = "fashion_mnist") -> Plan:
    """A recipe over the small dataset: two epochs, checkpoints and points of the curves often."""
    config = compose(
        [
            f"recipe={recipe}",
            f"data={data}",
            "data.samples_per_record=50",
            "trainer.max_epochs=2",
            "trainer.batch_size=16",
            "trainer.block_steps=4",
            "trainer.checkpoint_every_steps=8",
            "trainer.log_every_steps=5",
            "runtime.num_threads=1",
            "runtime.accelerator=cpu",
            "tracking=none",
            *overrides,
        ]
    )
    targets = [config[section].get("_target_", "") for section in ("model", "task", "optimizer", "schedule")]
    files = code_files([target for target in targets if target.startswith("modules.")])
    return plan_of(config, Code(fingerprint_of(files), files))


def write_idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">BBBB{array.ndim}i", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))


def write_small_shards(out: Path, max_shard_bytes: int = MAX_SHARD_BYTES) -> None:
    """The small dataset as data/shards/fashion_mnist would hold it."""
    plan = small_plan("lenet")
    data = plan.configuration["data"]
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder)
        for number, (split, files) in enumerate(data["reader"]["splits"].items()):
            fields = images(NUM_TRAINING if split == "train" else 100, seed=number)
            write_idx(raw / files["image"], fields["image"].squeeze(1).numpy())
            write_idx(raw / files["label"], fields["label"].numpy())
        source = {"name": "fashion_mnist", "sha256": data["source"]["sha256"], "licence": "none", "files": {}}
        (raw / "source.json").write_text(json.dumps(source))
        write_shards(plan.data, raw, out, max_shard_bytes=max_shard_bytes)


def forget_origin(shards: Path) -> None:
    """Takes from shards what they were made of, as in older ones: they serve any dataset of their fields."""
    path = shards / "shards.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "made_of": None}))


def write_small_messages(out: Path) -> None:
    """As many samples as `write_small_shards` writes, as data/shards/random_messages would hold them."""
    plan = small_plan("neural_cryptography", data="random_messages")
    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder)
        rows = np.random.default_rng(0).integers(0, 256, (NUM_TRAINING, 4), dtype=np.uint8)
        np.save(raw / "bits.npy", rows)
        sha256 = plan.configuration["data"]["source"]["sha256"]
        source = {"name": "random_bits", "sha256": sha256, "licence": "none", "files": {}}
        (raw / "source.json").write_text(json.dumps(source))
        write_shards(plan.data, raw, out)


def images(num_samples: int, seed: int = 0) -> dict[str, Tensor]:
    """Images that can be learned: a bright square whose place is the class."""
    generator = torch.Generator().manual_seed(seed)
    image = torch.randint(0, 128, (num_samples, 1, 28, 28), dtype=torch.uint8, generator=generator)
    label = torch.randint(0, 10, (num_samples,), generator=generator)
    for row, number in zip(image, label.tolist(), strict=True):
        row[0, 2 * number : 2 * number + 6, 4:24] += 100
    return {"image": image, "label": label}
