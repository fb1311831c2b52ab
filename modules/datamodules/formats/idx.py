"""The idx format of MNIST and its kin (LeCun, Cortes & Burges 1998): one array a file, gzipped or not.

Four bytes (0, 0, element type, number of axes), the sizes as big-endian int32, then the elements.
"""

import gzip
import zlib
from pathlib import Path

import numpy as np

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.samples import ArraySamples, Samples, raw_path

_DTYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


class IdxReader:
    """One idx file for each field of each split.

    Args:
        splits: for each split the path of each field's file beneath the source.
    """

    def __init__(self, splits: dict[str, dict[str, str]]) -> None:
        self.splits = splits

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """All splits; a sample's key is its number."""
        found: dict[str, Samples] = {}
        for split, files in self.splits.items():
            arrays = {name: _read_field(raw_path(raw, file), fields, name) for name, file in files.items()}
            counts = {name: len(array) for name, array in arrays.items()}
            if len(set(counts.values())) != 1:
                raise UserError(
                    f"the files of the split {split!r} differ in length: {counts}", "Fetch them again"
                )
            found[split] = ArraySamples(
                [str(number) for number in range(len(next(iter(arrays.values()))))], arrays
            )
        return found


def _read_field(path: Path, fields: dict[str, FieldSettings], name: str) -> np.ndarray:
    if name not in fields:
        raise UserError(
            f"the reader has a file for the field {name!r}, which the dataset lacks", "Describe it in fields"
        )
    array = read_idx(path)
    shape = [int(size) for size in fields[name].shape]
    if array[0].size != int(np.prod(shape)):
        raise UserError(
            f"{path} has samples of shape {list(array.shape[1:])}", f"The field {name!r} says {shape}"
        )
    return array.reshape(len(array), *shape).astype(fields[name].dtype, casting="safe", copy=False)


def read_idx(path: Path) -> np.ndarray:
    """The array of an idx file.

    Raises:
        UserError: if the file is no idx file, or not a whole one.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read()
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path} can't be read ({error})", "Fetch it again") from error
    dtype = _DTYPES.get(content[2]) if len(content) >= 4 and content[:2] == b"\0\0" else None
    start = 4 + 4 * content[3] if dtype else 0
    if dtype is None or start > len(content) or content[3] == 0:
        raise UserError(f"{path} is no idx file", "Check the reader's paths")
    shape = np.frombuffer(content, ">i4", count=content[3], offset=4).astype(np.int64)
    if (shape < 1).any() or len(content) - start != int(np.prod(shape)) * np.dtype(dtype).itemsize:
        raise UserError(
            f"{path} says shape {shape.tolist()} but holds {len(content) - start} bytes", "Fetch it again"
        )
    return np.frombuffer(content, dtype, offset=start).reshape(shape)
