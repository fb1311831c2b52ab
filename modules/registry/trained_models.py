"""Finds the trained model that a recipe's evaluation asks, such as a language model, with its
vocabularies."""

import json
from collections.abc import Mapping
from pathlib import Path

from modules.configuration.plans.old_plans import read_trained
from modules.configuration.plans.run_plan import Plan
from modules.configuration.regular_file import read_regular_text
from modules.configuration.schema.data_settings import DataSettings
from modules.configuration.schema.settings import read
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.vocabulary import Vocabulary
from modules.registry.export import load_program
from modules.registry.references import is_registered, plan_of, registered_version, trained_file
from modules.registry.stored_weights import load_version, load_weights
from modules.registry.versions import PROGRAM
from modules.registry.vocabulary_check import check_vocabularies
from modules.tasks.build_task import build_task
from modules.tasks.task import Task


def find_trained_model(
    plan: Plan, shards: Path, reference: str, key: str
) -> tuple[Task, Mapping[str, Vocabulary]]:
    """A trained task, in evaluation mode, and the vocabularies of its fields of text.

    Args:
        plan: of the run that is evaluated; its `tracking` says in which registry to look.
        shards: the folder of all datasets' shards: there lie the vocabularies of a run's texts.
        reference: a registered model (`char_lstm@champion`), a folder of runs/ or build/train/, or a file of
            weights.
        key: of the evaluator, which names it.

    Raises:
        UserError: it is not there, or its shards are gone or hold another vocabulary.
    """
    if is_registered(reference):
        registry, version = registered_version(reference, plan.configuration)
        with registry.fetched(version) as folder:
            config = read_trained(folder / "plan.yaml")
            task = build_task(config["model"], config["task"]).eval()
            load_version(task.model, folder)
            _, described = load_program(folder / PROGRAM)
        plain = {one.name: one.vocabulary for one in described.inputs if one.vocabulary is not None}
        return task, {name: Vocabulary.from_plain(dict(one)) for name, one in plain.items()}
    weights = trained_file(reference, key)
    config = plan_of(weights)
    task = build_task(config["model"], config["task"]).eval()
    load_weights(task.model, weights)
    data = read(DataSettings, config["data"], "data")
    vocabularies = ShardSet.open(shards / data.name, data).vocabularies
    known = {name: one.sha256() for name, one in vocabularies.items()}
    check_vocabularies(_learned(weights), known, str(weights))
    return task, vocabularies


def _learned(weights: Path) -> dict[str, str]:
    """The vocabularies that weights were trained with, as far as the summary beside them says so."""
    try:
        return dict(
            json.loads(read_regular_text(weights.parent / "summary.json", links=True))["vocabularies"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return {}
