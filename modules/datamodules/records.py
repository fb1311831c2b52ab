"""One record of a shard: some samples as a reader gives them, checked against their fields, as tar files."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import DataSettings, FieldSettings
from modules.datamodules.encodings import encode
from modules.datamodules.ragged import SIZES
from modules.datamodules.samples import Column
from modules.datamodules.shard_file import INDEX
from modules.datamodules.vocabulary import BEGIN, END, Vocabulary

_MAY_BE_EMPTY = "boxes"
"""An image without any object is an image; a text without words or a clip without frames is a mistake."""


class Sizes:
    """The sizes of the samples that were written, by symbol."""

    def __init__(self) -> None:
        self._found: dict[str, list[np.ndarray]] = {}

    def add(self, field: FieldSettings, sizes: np.ndarray) -> None:
        """Takes in the sizes of one field's samples, [samples, symbols]."""
        for symbol, column in zip(field.symbols, sizes.T, strict=True):
            self._found.setdefault(symbol, []).append(column)

    def to_plain(self) -> dict[str, Any]:
        """{"sizes": {symbol: [smallest, median, largest]}}, or nothing where no size differs."""
        every = {symbol: np.concatenate(parts) for symbol, parts in self._found.items()}
        told = {
            symbol: [int(sizes.min()), int(np.median(sizes)), int(sizes.max())]
            for symbol, sizes in every.items()
        }
        return {"sizes": told} if told else {}


class SeenClasses:
    """Which classes the samples of a split show, by field."""

    def __init__(self, fields: Mapping[str, FieldSettings]) -> None:
        self._names = {name: field.classes for name, field in fields.items() if field.classes is not None}
        self._seen = {name: np.zeros(len(classes), bool) for name, classes in self._names.items()}

    def add(self, columns: Mapping[str, Column]) -> None:
        """Takes in some samples, whose class numbers are known to be those of classes."""
        for name, seen in self._seen.items():
            for sample in columns[name]:
                seen[np.asarray(sample)] = True

    def check(self, split: str) -> None:
        """
        Raises:
            UserError: a class has no sample.
        """
        for name, seen in self._seen.items():
            missing = [self._names[name][place] for place in np.flatnonzero(~seen)]
            if missing:
                raise UserError(
                    f"the split {split!r} has no sample of the class {', '.join(map(repr, missing))} of the"
                    f" field {name!r}",
                    f"Bring samples, or take the class out of fields.{name}.classes",
                )


def record(
    columns: Mapping[str, Column],
    keys: Sequence[str],
    numbers: np.ndarray,
    data: DataSettings,
    vocabularies: Mapping[str, Vocabulary],
    sizes: Sizes,
) -> Iterator[tuple[str, bytes]]:
    """The members of one record: their names' endings and their contents.

    Args:
        columns: the fields of its samples.
        keys: of its samples, for messages.
        numbers: of its samples in the source.
        data: what the samples have to be.
        vocabularies: of the fields of text.
        sizes: takes in those of ragged fields.

    Raises:
        UserError: the samples aren't as the fields say; it names the field and the sample.
    """
    alone = data.samples_per_record == 1
    if columns.keys() != data.fields.keys():
        raise UserError(
            f"the reader gives the fields {sorted(columns)}", f"The dataset describes {sorted(data.fields)}"
        )
    ragged = {name: _tokens(name, columns[name], keys, vocabularies) for name in vocabularies}
    ragged |= {
        name: [np.asarray(sample) for sample in columns[name]]
        for name, field in data.fields.items()
        if field.symbols and name not in vocabularies
    }
    found = {name: _sizes(name, ragged[name], data.fields[name], keys) for name in ragged}
    _check_symbols(found, data, keys)
    for name, field in data.fields.items():
        if name not in ragged:
            array = np.asarray(columns[name])
            _check(name, array, field, len(numbers))
            _check_classes(name, array, field, keys)
            yield f"{name}.{field.encoding}", encode(array[0] if alone else array, field.encoding)
            continue
        samples = ragged[name]
        _check_classes(name, samples, field, keys)
        if field.boxes_of is not None:
            _check_boxes(name, samples, columns[field.boxes_of], keys)
        values = samples[0] if alone else np.concatenate([sample.reshape(-1) for sample in samples])
        sizes.add(field, found[name])
        yield f"{name}.{SIZES}.npy", encode(found[name][0] if alone else found[name], "npy")
        yield f"{name}.{field.encoding}", encode(values, field.encoding)
    yield f"{INDEX}.npy", encode(numbers[0].astype("<i8") if alone else numbers.astype("<i8"), "npy")


def _tokens(
    name: str, texts: Column, keys: Sequence[str], vocabularies: Mapping[str, Vocabulary]
) -> list[np.ndarray]:
    """Each text between begin and end."""
    found = []
    for text, key in zip(texts, keys, strict=True):
        numbers = vocabularies[name].encode(str(text))
        if not numbers:
            raise UserError(
                f"the field {name!r} of the sample {key} is an empty text", "Leave the sample out"
            )
        found.append(np.array([BEGIN, *numbers, END], np.int64))
    return found


def _sizes(name: str, samples: Sequence[np.ndarray], field: FieldSettings, keys: Sequence[str]) -> np.ndarray:
    """The sizes of the symbols of each sample, [samples, symbols]."""
    found = np.empty((len(samples), len(field.symbols)), np.int64)
    for row, sample, key in zip(found, samples, keys, strict=True):
        sizes = dict(zip(map(str, field.shape), sample.shape, strict=False))
        row[:] = [sizes.get(symbol, -1) for symbol in field.symbols]
        fits = len(sample.shape) == len(field.shape) and all(
            isinstance(wanted, str) or wanted == size
            for wanted, size in zip(field.shape, sample.shape, strict=True)
        )
        if not fits or sample.dtype != field.dtype:
            raise UserError(
                f"the field {name!r} of the sample {key} is {sample.dtype} {list(sample.shape)}",
                f"fields.{name} says {field.dtype} {list(field.shape)}",
            )
        empty = next((symbol for symbol in field.symbols if sizes[symbol] == 0), _MAY_BE_EMPTY)
        if empty != _MAY_BE_EMPTY:
            raise UserError(f"the field {name!r} of the sample {key} has no {empty}", "Leave the sample out")
    return found


def _check_symbols(found: Mapping[str, np.ndarray], data: DataSettings, keys: Sequence[str]) -> None:
    """Refuses samples in which one symbol has two sizes."""
    known: dict[str, tuple[str, np.ndarray]] = {}
    for name, sizes in found.items():
        for symbol, column in zip(data.fields[name].symbols, sizes.T, strict=True):
            other, expected = known.setdefault(symbol, (name, column))
            if (wrong := np.flatnonzero(column != expected)).size:
                place = wrong[0]
                raise UserError(
                    f"in the sample {keys[place]} {symbol} is {expected[place]} of {other!r} and"
                    f" {column[place]} of {name!r}",
                    "Correct the sample, or give the second size a name of its own",
                )


def _check_boxes(name: str, samples: Sequence[np.ndarray], images: Column, keys: Sequence[str]) -> None:
    for boxes, image, key in zip(samples, images, keys, strict=True):
        height, width = np.shape(image)[-2:]
        left, top, right, bottom = boxes.T
        wrong = (left < 0) | (top < 0) | (right > width) | (bottom > height) | (right <= left)
        if (places := np.flatnonzero(wrong | (bottom <= top))).size:
            raise UserError(
                f"the box {boxes[places[0]].tolist()} of the sample {key} is outside its image of"
                f" {width}x{height} pixels, or has no size",
                f"fields.{name} holds x0, y0, x1, y1 with x0 < x1 and y0 < y1",
            )


def _check(name: str, array: np.ndarray, field: FieldSettings, num_samples: int) -> None:
    if array.dtype != field.dtype or list(array.shape) != [num_samples, *field.shape]:
        raise UserError(
            f"the field {name!r} is {array.dtype} {list(array.shape[1:])} in the source",
            f"fields.{name} says {field.dtype} {list(field.shape)}",
        )


def _check_classes(
    name: str, samples: Sequence[np.ndarray] | np.ndarray, field: FieldSettings, keys: Sequence[str]
) -> None:
    if field.classes is None:
        return
    highest = len(field.classes) - 1
    for sample, key in zip(samples, keys, strict=True):
        if (wrong := np.extract((sample < 0) | (sample > highest), sample)).size:
            raise UserError(
                f"the field {name!r} of the sample {key} holds the class number {wrong[0]},"
                f" outside 0..{highest}",
                f"Correct fields.{name}.classes",
            )
