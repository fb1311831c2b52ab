"""Shards made of a recipe's own schema, without its data: every task can be trained on some."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from modules.configuration.composition.conf_contents import names
from modules.configuration.plans.run_plan import Plan
from modules.configuration.schema.data_settings import DataSettings
from modules.datamodules.ragged import length_of
from modules.datamodules.samples import ArraySamples
from tests.batches import LONGEST, batch_of
from tests.plans import recipe_configuration
from tests.recipes.test_every_recipe import SMALLER
from tests.training.small import forget_origin, recipes_of_every_task
from tests.written_shards import write_samples

NUM_TOKENS = 40
"""Of a field of text: characters, the special ones included."""
_FIRST_CHARACTER = 0x4E00


def recipes_with_data_of_their_own() -> dict[str, str]:
    """For each task that no recipe has for grey images of 28x28, on which other tests train: by its name, the
    recipe with the fewest runs before it."""
    found: dict[str, tuple[int, str]] = {}
    others = {recipe_configuration(recipe)["task"]["_target_"] for recipe in recipes_of_every_task()}
    for recipe in names("recipe"):
        config = recipe_configuration(recipe)
        before, task = len(config["phases"]) + len(config["teacher"]), config["task"]["_target_"]
        if task not in others:
            found[task] = min(found.get(task, (99, "")), (before, recipe))
    return {task.rpartition(".")[2]: recipe for task, (_, recipe) in sorted(found.items())}


def smaller(recipe: str) -> list[str]:
    """Overrides with which the recipe trains in a moment, from random weights."""
    config = recipe_configuration(recipe)
    overrides = [f"recipe={recipe}", *SMALLER.get(config["data"]["name"], []), *SMALLER.get(recipe, [])]
    if config["init_from"]:
        overrides += [
            "init_from=null",
            *["~fine_tuning.adapter"] * (config["fine_tuning"]["adapter"] is not None),
        ]
    for name, field in config["data"]["fields"].items():
        if field.get("vocabulary"):
            at = f"data.fields.{name}.vocabulary"
            overrides += [f"{at}.kind=characters", f"{at}.size={NUM_TOKENS}", f"++{at}.min_count=1"]
    return overrides


def write_made_shards(plan: Plan, out: Path) -> None:
    """A training split of some batches, and a batch of each other split that the recipe looks at."""
    data = plan.data
    sizes = {"train": 8, "validation": 8, "test": 8, "paintings": 1}
    config = plan.configuration
    found = {split: _samples(config, data, size) for split, size in sizes.items()}
    out.parent.mkdir(parents=True, exist_ok=True)
    with mock.patch("modules.datamodules.records.SeenClasses.check"):
        write_samples(found, replace(data, splits={}), out)
    forget_origin(out)


def _samples(config: dict[str, Any], data: DataSettings, count: int) -> ArraySamples:
    batch = {name: values.numpy() for name, values in batch_of(config, count).items()}
    columns: dict[str, Any] = {}
    for name, field in data.fields.items():
        if field.boxes_of is not None:
            _inside(batch[name], batch.get(length_of(field.boxes_of)))
    for name, field in data.fields.items():
        values = batch[name]
        if not field.symbols:
            columns[name] = values
            continue
        lengths = batch[length_of(name)].reshape(count, -1)
        samples = []
        for number, sizes in enumerate(lengths.tolist()):
            left = iter(sizes)
            cut = tuple(slice(None if isinstance(size, int) else next(left)) for size in field.shape)
            samples.append(values[number][cut])
        columns[name] = [_text(one) for one in samples] if field.vocabulary else samples
        if field.vocabulary:  # each token is in the training split
            columns[name][0] = _text(np.arange(4, NUM_TOKENS))
    return ArraySamples([str(number) for number in range(count)], columns)


def _inside(boxes: np.ndarray, sizes: np.ndarray | None) -> None:
    """Makes boxes those of the smallest image, where images have sizes of their own."""
    if sizes is not None:
        boxes *= sizes.min() / LONGEST


def _text(tokens: np.ndarray) -> str:
    return "".join(chr(_FIRST_CHARACTER + number) for number in tokens.tolist())
