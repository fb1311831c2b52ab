"""A check of lists that describe the same layers."""

from collections.abc import Sequence
from typing import Any


def check_as_many(layers: str, **lists: Sequence[Any]) -> None:
    """
    Args:
        layers: what each of the lists has an entry for, in the plural.
        lists: two of a model's arguments by their names.

    Raises:
        ValueError: one is longer than the other.
    """
    (first, one), (second, other) = lists.items()
    if len(one) != len(other):
        raise ValueError(f"{first} has {len(one)} {layers} and {second} {len(other)}: they must be as many")
