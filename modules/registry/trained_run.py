"""What a finished run on this machine serves, without a registry: the task of its plan with its weights.

It needs this repository, as an exported program does not, and so it also answers where torch cannot export
the task: where an answer is an optimisation of its own.
"""

import json
from pathlib import Path

from torch import nn

from modules.configuration.errors import UserError
from modules.configuration.plans.plan_files import read_plan
from modules.configuration.regular_file import read_regular_text
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.vocabulary import Vocabulary
from modules.registry.export import Description
from modules.registry.stored_weights import load_weights
from modules.registry.vocabulary_check import check_vocabularies
from modules.tasks.build_task import build_task


def load_run(folder: Path) -> tuple[nn.Module, Description]:
    """The module that a run's task serves, and its description.

    Args:
        folder: runs/<identity>.

    Raises:
        UserError: the folder holds no finished run, its files are damaged, or its task serves nothing; for
            text, the shards whose vocabulary it learned are not there.
    """
    try:
        summary = json.loads(read_regular_text(folder / "summary.json", links=True))
        identity, learned = str(summary["identity"]), dict(summary.get("vocabularies", {}))
    except PermissionError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder} holds no finished run", "Name a folder of runs/ that holds summary.json"
        ) from error
    plan = read_plan(folder / "plan.yaml")
    task = build_task(plan.model, plan.task)
    load_weights(task.model, folder / "weights.pt")
    vocabularies: dict[str, Vocabulary] = {}
    if learned:
        shards = plan.storage / "data" / "shards" / plan.data.name
        vocabularies = dict(ShardSet.open(shards, plan.data).vocabularies)
        known = {field: one.sha256() for field, one in vocabularies.items()}
        check_vocabularies(learned, known, f"{folder}/weights.pt")
    served = task.eval().served(plan.data, vocabularies)
    if served is None:
        raise UserError(
            f"{plan.name} serves nothing: there is nothing to predict", "Its evaluation says what it learned"
        )
    return served.module.eval(), Description(plan.name, identity, served.inputs, served.outputs)
