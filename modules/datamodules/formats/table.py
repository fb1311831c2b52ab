"""Tables: CSV, Parquet or NumPy's npz, a row a sample.

A CSV file is read by its header; without one its columns are called 0, 1, 2, ... In an npz file a column is
an array whose leading axis counts the rows.
"""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.own_files import content_hash, equal_notes
from modules.datamodules.samples import ArraySamples, Samples, raw_path

ENDINGS = (".csv", ".tsv", ".data", ".parquet", ".npz")


class TableReader:
    """The columns of a table, gathered into fields.

    Args:
        files: of each split, beneath the source.
        columns: of each field, the column or columns that make it, in order. A field that is not named takes
            all columns that no other field takes.
        header: whether the first line of a CSV file names the columns.
        delimiter: between the cells of a CSV file.
    """

    def __init__(
        self,
        files: dict[str, str],
        columns: dict[str, str | list[str]],
        header: bool = True,
        delimiter: str = ",",
    ) -> None:
        self.files = files
        self.columns = columns
        self.header = header
        self.delimiter = delimiter

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The splits; a sample's key is the number of its row, and equal rows lie in one split.

        Raises:
            UserError: a column is missing, no number or of no known class, or a cell is empty.
        """
        return {split: self._read(raw_path(raw, file), fields) for split, file in self.files.items()}

    def _read(self, path: Path, fields: dict[str, FieldSettings]) -> ArraySamples:
        table = self._table(path)
        named = {
            name: [columns] if isinstance(columns, str) else columns for name, columns in self.columns.items()
        }
        taken = {column for columns in named.values() for column in columns}
        others = [name for name in fields if name not in named]
        if len(others) > 1 or (unknown := [name for name in named if name not in fields]):
            problem = f"fields {', '.join(others or unknown)}" if others else f"no field {unknown[0]!r}"
            raise UserError(
                f"reader.columns leaves open: {problem}", "Name the columns of all fields but one"
            )
        named |= {name: [column for column in table if column not in taken] for name in others}
        arrays = {name: _field(path, name, fields[name], table, columns) for name, columns in named.items()}
        if len({len(array) for array in arrays.values()}) != 1:
            raise UserError(f"the columns of {path} differ in length", "Give each as many rows")
        keys = [str(number) for number in range(len(next(iter(arrays.values()))))]
        places = [content_hash(np.concatenate([array[row].ravel() for array in arrays.values()]))
                  for row in range(len(keys))]  # fmt: skip
        return ArraySamples(keys, arrays, places, equal_notes(keys, places))

    def _table(self, path: Path) -> dict[str, np.ndarray]:
        import pyarrow
        from pyarrow import csv, parquet

        try:
            if path.suffix == ".npz":
                with np.load(path, allow_pickle=False) as opened:
                    return {name: opened[name] for name in opened.files}
            if path.suffix == ".parquet":
                table = parquet.read_table(path)
            else:
                names = csv.ReadOptions(autogenerate_column_names=not self.header)
                table = csv.read_csv(path, names, csv.ParseOptions(delimiter=self.delimiter))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, pyarrow.ArrowException) as error:
            hint = f"It has to be a table: {' '.join(ENDINGS)}"
            raise UserError(f"{path} is no table that can be read ({error})", hint) from error
        for name, column in zip(table.column_names, table.columns, strict=True):
            if column.null_count:
                row = column.is_null().to_pylist().index(True)
                raise UserError(
                    f"{path}: the cell of {name!r} in row {row} is empty", "Fill it or take the row out"
                )
        names = table.column_names
        if not self.header and path.suffix != ".parquet":
            names = [str(number) for number in range(len(names))]
        return {name: column.to_numpy() for name, column in zip(names, table.columns, strict=True)}


def _field(
    path: Path, name: str, about: FieldSettings, table: dict[str, Any], columns: list[str]
) -> np.ndarray:
    if missing := [column for column in columns if column not in table]:
        raise UserError(f"{path} has no column {missing[0]!r}", f"There is: {', '.join(table)}")
    if about.classes is not None:
        return _class_numbers(path, name, about, np.concatenate([table[column] for column in columns]))
    for column in columns:
        if table[column].dtype.kind not in "fiub":
            hint = "Name the columns of numbers in reader.columns"
            raise UserError(f"{path}: the column {column!r} holds no numbers", hint)
    parts = [table[column].reshape(len(table[column]), -1) for column in columns]
    values = np.concatenate(parts, axis=1).astype(about.dtype)
    shape = [int(size) for size in about.shape]
    if values.shape[1] != int(np.prod(shape)):
        raise UserError(
            f"{path} has {values.shape[1]} numbers a row for the field {name!r}",
            f"fields.{name} says {shape}",
        )
    if not np.isfinite(values).all():
        row = int(np.flatnonzero(~np.isfinite(values).all(axis=1))[0])
        raise UserError(
            f"{path}: row {row} holds no finite number for {name!r}", "Fill it or take the row out"
        )
    return values.reshape(-1, *shape)


def _class_numbers(path: Path, name: str, about: FieldSettings, values: np.ndarray) -> np.ndarray:
    """The number of each class; a net is planned with their names before there are data, so they are written
    in the YAML, and told where it has others than the data."""
    texts = values.astype(str)
    numbers = {text: number for number, text in enumerate(about.classes or [])}
    found = sorted(set(texts.tolist()))
    if unknown := [text for text in found if text not in numbers]:
        raise UserError(
            f"{path} holds the class {unknown[0]!r}, which fields.{name}.classes does not name",
            f"The data have: [{', '.join(found)}]",
        )
    return np.array([numbers[text] for text in texts], about.dtype)
