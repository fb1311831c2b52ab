"""A nested configuration as MLflow's flat parameters."""

import json
import re
from typing import Any

MAX_NAME = 250
MAX_VALUE = 6000  # MLflow's limits; the whole configuration is an artefact of the run


def flatten(values: dict[str, Any]) -> dict[str, str]:
    """Dotted names to text. A list of plain values is one parameter; lists of mappings are numbered.

    Example:
        >>> flatten({"model": {"num_filters": [6, 16]}, "seed": 0})
        {'model.num_filters': '[6, 16]', 'seed': '0'}
    """
    flat: dict[str, str] = {}

    def visit(name: str, value: Any) -> None:
        if isinstance(value, dict) and value:
            for key, item in value.items():
                visit(f"{name}.{key}" if name else str(key), item)
        elif isinstance(value, list | tuple) and any(isinstance(item, dict) for item in value):
            for index, item in enumerate(value):
                visit(f"{name}.{index}", item)
        else:
            flat[_cut(re.sub(r"[^\w.\- :/]", "_", name), MAX_NAME)] = _cut(_text(value), MAX_VALUE)

    visit("", values)
    return flat


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 3] + "..."
