"""What of a dataset's settings decides the bytes of its shards besides its fields; shards.json keeps it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import DataSettings

_MISSING = object()


def made_of(data: DataSettings) -> dict[str, Any]:
    """Source, reader and splits, as they come back from a file."""
    splits = {name: {"from": one.from_, "fraction": one.fraction} for name, one in data.splits.items()}
    return json.loads(json.dumps({"source": data.source, "reader": data.reader, "splits": splits}))


def difference(kept: Any, data: DataSettings) -> str:
    """The first key that the shards were made with another value of; empty if there is none.

    Args:
        kept: what shards.json says under `made_of`; None where older shards say nothing.
        data: the dataset as it is asked for now.
    """
    return "" if kept is None else _differing(kept, made_of(data), "")


def how_to_shard(name: str) -> str:
    """The one command that makes the shards of a dataset."""
    return f"Make them: python -m pipelines.shard dataset={name}"


def how_to_shard_again(name: str) -> str:
    """The same where there are shards, made otherwise."""
    return (
        f"Make them again: python -m pipelines.shard dataset={name}; what is changed on the command line"
        " wants a file and name of its own in conf/data"
    )


def made_otherwise(path: Path, other: str) -> UserError:
    """That shards were made of other settings.

    Args:
        path: of their shards.json.
        other: the `difference`.
    """
    return UserError(f"{path}: the shards have {other}", how_to_shard_again(path.parent.name))


def _differing(kept: Any, asked: Any, key: str) -> str:
    if isinstance(kept, Mapping) and isinstance(asked, Mapping):
        for name in dict.fromkeys([*asked, *kept]):
            inner = f"{key}.{name}" if key else name
            if found := _differing(kept.get(name, _MISSING), asked.get(name, _MISSING), inner):
                return found
        return ""
    return "" if kept == asked else f"{key} {_shown(kept)} instead of {_shown(asked)}"


def _shown(value: Any) -> str:
    return "unset" if value is _MISSING else json.dumps(value, ensure_ascii=False)
