"""Weights that learned the tokens of one vocabulary mean nothing to another, even one of the same size."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from modules.configuration.errors import UserError
from modules.configuration.plans.identity import VOCABULARY, shard_hashes
from modules.configuration.regular_file import read_regular_text
from modules.registry.outcome import split_hashes

AGAIN = "Train it again, or write the shards again as they were (dvc checkout)"
_REINIT = f"{AGAIN}; or initialise again what reads or says tokens: fine_tuning.reinit=[output.]"


def check_vocabularies(
    learned: Mapping[str, str], data: Mapping[str, str], what: str, hint: str = AGAIN
) -> None:
    """Refuses weights whose vocabulary is not the data's.

    Args:
        learned: sha256 of the vocabularies that the weights were trained with, by field.
        data: sha256 of today's, by field; fields that only one of them has are left to the check of shapes.
        what: the weights, for the message.
        hint: what to do about it.

    Raises:
        UserError: a field has another vocabulary.
    """
    for field in learned.keys() & data.keys():
        if learned[field] != data[field]:
            raise UserError(
                f"{what} was trained with another vocabulary of the field {field!r} than the data have now",
                hint,
            )


def check_initial_weights(
    reference: str, weights: Path, tags: Mapping[str, str] | None, shards: Path, reinit: Sequence[str] = ()
) -> None:
    """Refuses initial weights whose vocabulary is known not to be the data's.

    Those of which a part is initialised again are taken: which part reads or says tokens the recipe knows.

    Args:
        reference: what `init_from` names.
        weights: the file behind it.
        tags: of a registered version; None of a file, which may lie beside its run's summary.json.
        shards: the folder of the dataset's shards.
        reinit: beginnings of the names of weights that are initialised again.

    Raises:
        UserError: a field has another vocabulary.
    """
    if reinit:
        return
    hashes = {name: found for name, found in shard_hashes(shards).items() if name.startswith(VOCABULARY)}
    if tags is not None:
        data = {name.removeprefix(VOCABULARY): found for name, found in split_hashes(hashes).items()}
        known = {field: tags.get(f"data.{VOCABULARY}{field}") for field in data}
        check_vocabularies(
            {field: found for field, found in known.items() if found}, data, reference, _REINIT
        )
        return
    try:
        summary = json.loads(read_regular_text(weights.parent / "summary.json", links=True))
        learned = dict(summary["vocabularies"])
    except (OSError, ValueError, KeyError, TypeError):
        return  # weights from elsewhere, or of no text
    data = {name.removeprefix(VOCABULARY): sha256 for name, (sha256,) in hashes.items()}
    check_vocabularies(learned, data, reference, _REINIT)
