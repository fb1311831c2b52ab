"""Names that become folders, files and tags: which are allowed, and which one was probably meant."""

import difflib
import re
from collections.abc import Iterable

from modules.configuration.errors import UserError

_ALLOWED = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_-]|\.(?!\.)){0,99}", re.ASCII)


def check_name(kind: str, value: object) -> str:
    """Refuses a name that could reach outside its folder or break a line: `/`, `..`, NUL, newline, nothing.

    Args:
        kind: what the name is of, for the message: "recipe", "dataset", "field"...
        value: the name as it was given.

    Returns:
        The same name.

    Raises:
        UserError: it is no name.
    """
    if isinstance(value, str) and _ALLOWED.fullmatch(value):
        return value
    raise UserError(
        f"{value!r} is no name for a {kind}",
        "A name has letters, digits, '_', '-' and single dots, starts with a letter or a digit"
        " and has at most 100 characters",
    )


def nearest(name: str, choices: Iterable[str]) -> str | None:
    """The choice that was probably meant, or None where none is near."""
    names = list(choices)
    folded = {choice.lower(): choice for choice in names}
    found = difflib.get_close_matches(str(name).lower(), folded, n=1, cutoff=0.6)
    if found:
        return folded[found[0]]
    # lenet -> convolutional/lenet, lr -> optimizer.lr
    return next((choice for choice in names if re.split(r"[/.]", choice)[-1] == name), None)


def nearest_key(key: str, keys: Iterable[str]) -> str | None:
    """The dotted key that was probably meant: one beside it first, then any with that last name."""
    known = list(keys)
    parent, _, last = key.rpartition(".")
    beside = {other.rpartition(".")[2]: other for other in known if other.rpartition(".")[0] == parent}
    found = nearest(last, beside)
    if found is not None:
        return beside[found]
    if not parent:
        return next((other for other in known if other.rpartition(".")[2] == last), None)
    moved = nearest_key(parent, {other.rpartition(".")[0] for other in known} - {""})
    return f"{moved}.{last}" if moved and f"{moved}.{last}" in known else None


def suggest(name: str, choices: Iterable[str]) -> str:
    """The hint of an unknown name: the nearest choice, or all where there are few."""
    names = sorted(choices)
    near = nearest(name, names)
    if near is not None:
        return f"Did you mean {near}?"
    return f"There is: {', '.join(names)}" if 0 < len(names) <= 12 else ""
