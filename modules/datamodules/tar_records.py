"""Where the records of a shard lie in its tar file: as shards.json says, or found by a walk over the headers.

Since format 2 shards.json has the places, and a shard is opened without a look at its headers. Shards of
format 1 are walked over. Neither is trusted: every array is checked against the schema where it lies.
"""

import mmap
import re
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import numpy as np

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings

BLOCK = 512
"""Bytes of a tar header; content is padded to a multiple of them."""
_MEMBER = re.compile(rb"(\d{8})\.([A-Za-z0-9][A-Za-z0-9_.-]*)\.(npy|png|jpg)", re.ASCII)
Spans = dict[str, list[tuple[int, int]]]
"""For each field, where its content starts in the file and how long it is, one span a record."""


def to_plain(spans: Spans) -> dict[str, dict[str, list[int]]]:
    """Spans as shards.json holds them."""
    return {
        name: {"start": [start for start, _ in of_field], "num_bytes": [size for _, size in of_field]}
        for name, of_field in spans.items()
    }


def from_plain(plain: Any, members: Mapping[str, FieldSettings], num_records: int, num_bytes: int) -> Spans:
    """Spans of what shards.json says of a shard.

    Args:
        plain: its entry `records`.
        members: what each record holds.
        num_records: how many records there are.
        num_bytes: of the file.

    Raises:
        UserError: they are not those of these members, or lie outside the file or in one another.
    """
    if set(plain) != set(members):
        raise UserError(f"records are of {', '.join(map(repr, plain))}, not {', '.join(map(repr, members))}")
    spans: Spans = {}
    everything = []
    for name, of_field in plain.items():
        both = [of_field["start"], of_field["num_bytes"]]
        if any(len(numbers) != num_records or set(map(type, numbers)) != {int} for numbers in both):
            raise UserError(f"there are not {num_records} places of records of {name!r}")
        if max(map(max, both)) > num_bytes or min(map(min, both)) < 0:
            raise UserError(f"a record of {name!r} lies outside its file")
        starts, sizes = (np.array(numbers, np.int64) for numbers in both)
        if (starts % BLOCK).any() or (starts < BLOCK).any() or (sizes < 1).any():
            raise UserError(f"a record of {name!r} lies where none can lie")
        everything += [np.stack([starts, sizes])]
        spans[name] = list(zip(*both, strict=True))
    starts, sizes = np.concatenate(everything, axis=1)
    in_order = np.argsort(starts)
    stops = np.append(starts[in_order][1:] - BLOCK, num_bytes)
    if (sizes[in_order] > stops - starts[in_order]).any():
        raise UserError("records lie in one another, or beyond the end")
    return spans


def walk(
    content: mmap.mmap, members: Mapping[str, FieldSettings], refuse: Callable[[str], NoReturn]
) -> Spans:
    """Walks over the tar headers; only plain files with names of our own making pass.

    Args:
        content: of the file.
        members: what each record holds.
        refuse: raises an error that names the file.
    """
    spans: Spans = {}
    position = 0
    first_record = None
    while position + BLOCK <= len(content):
        header = content[position : position + BLOCK]
        if header == bytes(BLOCK):
            return spans
        name = header[:100].rstrip(b"\0")
        number = sum(header[:148]) + 8 * 32 + sum(header[156:])
        match = _MEMBER.fullmatch(name)
        if match is None or header[345:500].strip(b"\0") or header[156:157] not in b"0\0":
            refuse(f"holds {name!r}, which is no record's file")
        try:
            size, checksum = (int(header[124:136].rstrip(b"\0 "), 8), int(header[148:156].rstrip(b"\0 "), 8))
        except ValueError:
            refuse(f"has a damaged header at byte {position}")
        start = position + BLOCK
        if checksum != number or not 0 < size <= len(content) - start:
            refuse(f"has a damaged header at byte {position}")
        field, encoding = match[2].decode(), match[3].decode()
        record = int(match[1])
        first_record = record if first_record is None else first_record
        found = spans.setdefault(field, [])
        foreign = field not in members or members[field].encoding != encoding
        if foreign or record - first_record != len(found):
            refuse(f"holds {name!r}, which has no place there")
        found.append((start, size))
        position = start + size + -size % BLOCK
    return refuse("has no end: it was cut")
