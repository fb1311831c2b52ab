"""Mean and deviation of a table's numbers over the training split, made when it is sharded."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from modules.configuration.errors import UserError
from modules.configuration.plans.made_of import how_to_shard_again
from modules.configuration.regular_file import read_regular_text
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.samples import Samples

_AT_ONCE = 10_000


def field_statistics(
    samples: Mapping[str, Samples],
    chosen: Mapping[str, tuple[str, np.ndarray]],
    fields: Mapping[str, FieldSettings],
) -> dict[str, dict[str, list[float]]]:
    """{field: {"mean", "deviation"}} of each field of fractional numbers along one axis of a fixed size.

    A number that never differs has a deviation of 1.

    Args:
        samples: of each split of the source.
        chosen: of each split of the dataset, where its samples come from and their numbers.
        fields: of every sample.
    """
    rows = [
        name
        for name, one in fields.items()
        if one.dtype.startswith("float") and len(one.shape) == 1 and not one.symbols
    ]
    if not rows or "train" not in chosen:
        return {}
    origin, numbers = chosen["train"]
    pieces = np.array_split(np.sort(numbers), len(numbers) // _AT_ONCE + 1)
    found = {}
    for name in rows:
        values = np.concatenate(
            [np.asarray(samples[origin].read(piece)[name], np.float64) for piece in pieces]
        )
        deviation = values.std(axis=0)
        found[name] = {
            "mean": values.mean(axis=0).tolist(),
            "deviation": np.where(deviation > 0, deviation, 1.0).tolist(),
        }
    return found


def read_statistics(folder: Path, field: str) -> dict[str, Any]:
    """What shards.json says of all fields.

    Raises:
        UserError: it says nothing of this one.
    """
    try:
        found = json.loads(read_regular_text(folder / "shards.json", links=True)).get("statistics", {})
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(
            f"{folder}/shards.json cannot be read: {error!r}", how_to_shard_again(folder.name)
        ) from error
    if field not in found:
        raise UserError(
            f"{folder}/shards.json has no mean and deviation of {field!r}: they are of fields of"
            " fractional numbers along one axis",
            how_to_shard_again(folder.name),
        )
    return found
