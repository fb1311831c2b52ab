"""YAML that may come from anyone, looked at before it is read: how large, how deep, how often repeated.

A few lines of anchors stand for more values than any memory holds ("billion laughs"), and a few thousand
brackets for more levels than Python goes down. The events of the text, read without building anything, say
how large it would become.
"""

import io
from pathlib import Path
from typing import Any

import yaml

from modules.configuration.errors import UserError
from modules.configuration.regular_file import read_regular_text

MAX_BYTES = 1 << 20
MAX_DEPTH = 40
MAX_VALUES = 50_000
"""Of one file, aliases written out; the largest plan of this repository has about 1,000."""

_FAST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def read_bounded(path: Path) -> str:
    """The text of a YAML file that is small enough to be read as YAML.

    Raises:
        OSError: it is not there or may not be read.
        ValueError: it is no UTF-8.
        yaml.YAMLError: it is no YAML.
        UserError: it is no regular file, or too large, deep or repetitive.
    """
    text = read_regular_text(path, MAX_BYTES)
    check_size(text, str(path))
    return text


def check_size(text: str, name: str) -> None:
    """Refuses a text of YAML that is larger or deeper than any configuration.

    Args:
        text: the YAML.
        name: what to call it in an error.

    Raises:
        yaml.YAMLError: it is no YAML.
        UserError: it is too large or deep, or an alias in it stands for what it lies in.
    """
    if len(text) > MAX_BYTES:
        raise UserError(f"{name} is larger than {MAX_BYTES} bytes", "A configuration is a few kilobytes")
    try:
        _check_events(text, name, _FAST)
    except yaml.YAMLError:
        # What the fast parser does not take, the one that reads it may; its errors say more, too.
        _check_events(text, name, yaml.SafeLoader)


def _check_events(text: str, name: str, loader: Any) -> None:
    stream = io.StringIO(text)
    stream.name = name  # pyright: ignore[reportAttributeAccessIssue]
    anchors: dict[str, tuple[int, int]] = {}
    # Of each collection that is open: its anchor, the values in it and the levels below it.
    open_: list[tuple[str | None, int, int]] = [(None, 0, 0)]
    for event in yaml.parse(stream, Loader=loader):
        if isinstance(event, yaml.CollectionStartEvent):
            open_.append((event.anchor, 1, 1))
            num_values = depth = 0
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, num_values, depth = open_.pop()
            if anchor is not None:
                anchors[anchor] = num_values, depth
        elif isinstance(event, yaml.ScalarEvent):
            num_values, depth = 1, 0
            if event.anchor is not None:
                anchors[event.anchor] = 1, 0
        elif isinstance(event, yaml.AliasEvent):
            if any(anchor == event.anchor for anchor, _, _ in open_):
                raise UserError(f"{name}:{event.start_mark.line + 1}: *{event.anchor} stands for itself")
            num_values, depth = anchors.get(str(event.anchor), (1, 0))
        else:
            continue
        anchor, sum_, deepest = open_[-1]
        open_[-1] = anchor, sum_ + num_values, max(deepest, depth + 1)
        line = event.start_mark.line + 1
        if len(open_) + depth > MAX_DEPTH:
            raise UserError(f"{name}:{line}: lies more than {MAX_DEPTH} levels deep")
        if sum_ + num_values > MAX_VALUES:
            raise UserError(f"{name}:{line}: holds more than {MAX_VALUES} values, what * repeats included")
