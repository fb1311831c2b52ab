"""Reads a file of tensors that may come from anyone: regular, whole, and of ordinary tensors alone.

`torch.load` looks at no checksum, so that a flipped byte becomes another weight; the archive that
`torch.save` writes has one of each record, which is checked here first. Tensors that are sparse, quantised,
nested or of eight-bit floats are refused: no training here writes them, and a sparse one with places out of
bounds ends the process.
"""

import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from modules.configuration.regular_file import open_regular

MAX_DEPTH = 30
_DTYPES = {
    *(torch.float16, torch.bfloat16, torch.float32, torch.float64),
    *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool),
}
_PLAIN = (str, bytes, int, float, bool, type(None))


def load_tensors(path: Path, links: bool = False, archive_only: bool = False) -> Any:
    """What `torch.save` wrote, all tensors on the CPU. Nothing in it is run (`weights_only`).

    Args:
        path: the file.
        links: whether it may be a link to a file; see `modules.configuration.regular_file`.
        archive_only: whether torch's format of before 1.6, which has no checksums, is refused.

    Raises:
        UserError: it is no regular file.
        FileNotFoundError: it is not there.
        Exception: of many kinds: it is damaged, or holds more than tensors and plain values.
    """
    with open_regular(path, links) as file:
        if file.read(2) == b"PK" or archive_only:
            _check_archive(file)
        file.seek(0)
        return torch.load(file, map_location="cpu", weights_only=True)


def _check_archive(file: BinaryIO) -> None:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            if info.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"its record {info.filename!r} is compressed")
        if (broken := archive.testzip()) is not None:
            raise ValueError(f"the checksum of its record {broken!r} is another")


def strange_tensor(tensor: Tensor) -> str:
    """What sets a tensor apart from an ordinary one, such as "sparse tensor", or nothing."""
    if tensor.layout is not torch.strided or tensor.is_nested:
        return "nested tensor" if tensor.is_nested else "sparse tensor"
    if tensor.is_meta:
        return "tensor without values"
    if tensor.is_quantized or tensor.dtype not in _DTYPES:
        return f"tensor of {tensor.dtype}"
    return ""


def first_not_plain(value: Any, depth: int = 0) -> str:
    """The first thing in a value that is no ordinary tensor, plain value or container of them; or nothing."""
    if depth > MAX_DEPTH:
        return f"container more than {MAX_DEPTH} levels deep"
    if type(value) in (dict, OrderedDict):
        value = [*value.keys(), *value.values()]
    if type(value) in (list, tuple):
        return next(filter(None, (first_not_plain(item, depth + 1) for item in value)), "")
    if type(value) is Tensor:
        return strange_tensor(value)
    return "" if type(value) in _PLAIN else type(value).__name__
