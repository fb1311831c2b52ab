"""Finds the trained language model that a recipe's evaluation names, with the vocabulary of its texts."""

import json
from pathlib import Path
from typing import Any

from modules.configuration.errors import UserError
from modules.configuration.plans.old_plans import read_trained
from modules.configuration.plans.run_plan import Plan
from modules.configuration.regular_file import read_regular_text
from modules.configuration.schema.data_settings import DataSettings
from modules.configuration.schema.settings import read
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.vocabulary import Vocabulary
from modules.generation.decoding import NextToken
from modules.generation.label_language_model import TrainedLanguageModel
from modules.registry.export import load_program
from modules.registry.references import is_registered, plan_of, registered_version, trained_file
from modules.registry.stored_weights import load_version, load_weights
from modules.registry.versions import PROGRAM
from modules.registry.vocabulary_check import check_vocabularies
from modules.tasks.build_task import build_task
from modules.tasks.language_modelling import LanguageModelling

_KEY = "language_model"


def find_language_model(reference: str, plan: Plan, shards: Path) -> TrainedLanguageModel:
    """A trained language model, in evaluation mode.

    Args:
        reference: a registered model (`char_lstm@champion`), a folder of runs/ or build/train/, or a file of
            weights.
        plan: of the run that is evaluated; its `tracking` says in which registry to look.
        shards: the folder of all datasets' shards: there lies the vocabulary of a run's texts.

    Raises:
        UserError: it is not there, is no language model, or its shards are gone or hold another vocabulary.
    """
    if is_registered(reference):
        registry, version = registered_version(reference, plan.configuration)
        with registry.fetched(version) as folder:
            task = _task(reference, read_trained(folder / "plan.yaml"))
            load_version(task.model, folder)
            _, described = load_program(folder / PROGRAM)
        (plain,) = (one.vocabulary for one in described.inputs if one.vocabulary is not None)
        return _known(task, Vocabulary.from_plain(dict(plain)))
    weights = trained_file(reference, _KEY)
    config = plan_of(weights)
    task = _task(reference, config)
    load_weights(task.model, weights)
    data = read(DataSettings, config["data"], "data")
    vocabulary = ShardSet.open(shards / data.name, data).vocabularies[task.text]
    check_vocabularies(_learned(weights), {task.text: vocabulary.sha256()}, str(weights))
    return _known(task, vocabulary)


def _task(reference: str, config: dict[str, Any]) -> LanguageModelling:
    """A task whose model writes on.

    Raises:
        UserError: it is another one.
    """
    task = build_task(config["model"], config["task"]).eval()
    if not isinstance(task, LanguageModelling):
        raise UserError(
            f"{_KEY}={reference} was trained for {type(task).__name__}, and is no language model",
            "Name one such as build/train/char_lstm",
        )
    return task


def _known(task: LanguageModelling, vocabulary: Vocabulary) -> TrainedLanguageModel:
    if not isinstance(task.model, NextToken):
        raise UserError(f"{type(task.model).__name__} does not go on token by token", "Take a recurrent one")
    return TrainedLanguageModel(task.model, vocabulary)


def _learned(weights: Path) -> dict[str, str]:
    """The vocabularies that weights were trained with, as far as the summary beside them says so."""
    try:
        return dict(
            json.loads(read_regular_text(weights.parent / "summary.json", links=True))["vocabularies"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return {}
