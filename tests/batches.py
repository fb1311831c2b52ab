"""A batch made of a configuration's own schema, without its data."""

from typing import Any

import torch
from torch import Tensor, nn

from modules.datamodules.ragged import begins_of, length_of
from modules.datamodules.vocabulary import BEGIN, END

LONGEST = 13
"""The largest size of each symbol, of a sound in fifths of a second; every batch has a sample as long."""


def batch_of(config: dict[str, Any], num_samples: int) -> dict[str, Tensor]:
    """Samples as the schema has them: of images each pixel the lowest or the highest, of classes any.

    Args:
        config: resolved.
        num_samples: of the batch.
    """
    generator = torch.Generator().manual_seed(1)
    fields = config["data"]["fields"]
    lengths: dict[str, Tensor] = {}
    batch: dict[str, Tensor] = {}
    for name, about in fields.items():
        dtype = getattr(torch, about["dtype"])
        symbols = [size for size in about["shape"] if isinstance(size, str)]
        unit = (about.get("sample_rate_hz") or 5) // 5
        longest = LONGEST * unit
        shape = (num_samples, *(longest if isinstance(size, str) else size for size in about["shape"]))
        if about.get("mask_of"):
            batch[name] = _masks(shape, len(about["classes"]), generator).to(dtype)
        elif about.get("classes"):
            batch[name] = torch.randint(0, len(about["classes"]), shape, generator=generator).to(dtype)
        elif about.get("vocabulary"):
            batch[name] = torch.randint(4, about["vocabulary"]["size"], shape, generator=generator)
        elif about.get("boxes_of"):
            batch[name] = _boxes(shape, fields[about["boxes_of"]]["shape"], generator).to(dtype)
        else:
            values = torch.randint(0, 2, shape, generator=generator)
            highest = 1 if dtype.is_floating_point else 255
            batch[name] = (2 * values - 1 if dtype == torch.int8 else highest * values).to(dtype)
        if symbols:
            for symbol in symbols:  # one name is one size in all fields of a sample
                if symbol not in lengths:
                    lengths[symbol] = torch.randint(5, LONGEST + 1, (num_samples,), generator=generator)
                    lengths[symbol][0] = LONGEST
                    lengths[symbol] *= unit
            _shorten(batch, name, torch.stack([lengths[symbol] for symbol in symbols], dim=1), about)
        if symbols and config["trainer"]["order"]["kind"] == "stream":
            batch[begins_of(name)] = torch.ones(num_samples, dtype=torch.bool)
    if config["teacher"]:
        (label,) = (name for name, about in fields.items() if about.get("classes"))
        num_classes = len(fields[label]["classes"])
        batch["teacher"] = (5.0 * nn.functional.one_hot(batch[label], num_classes)).log_softmax(dim=1)
    batch["index"] = torch.arange(num_samples)
    return batch


def _masks(shape: tuple[int, ...], num_classes: int, generator: torch.Generator) -> Tensor:
    """A class for each quarter of an image, or eighth of a volume."""
    masks = torch.randint(0, num_classes, (shape[0], *[2] * (len(shape) - 1)), generator=generator)
    for axis, size in enumerate(shape[1:], 1):
        masks = masks.index_select(axis, torch.arange(size) * 2 // size)
    return masks


def _boxes(shape: tuple[int, ...], image: list[Any], generator: torch.Generator) -> Tensor:
    """Boxes of a tenth to nine tenths of an image's sides, anywhere in it."""
    height, width = (LONGEST if isinstance(size, str) else size for size in image[1:])
    sides = torch.tensor([width, height])
    size = (0.1 + 0.8 * torch.rand(*shape[:-1], 2, generator=generator)) * sides
    corner = torch.rand(*shape[:-1], 2, generator=generator) * (sides - size)
    return torch.cat([corner, corner + size], dim=-1)


def _shorten(batch: dict[str, Tensor], name: str, lengths: Tensor, about: dict[str, Any]) -> None:
    """Samples of differing size, the first the longest, padded with zeros."""
    values, num_symbols = batch[name], lengths.shape[1]
    ragged = [axis for axis, size in enumerate(about["shape"], 1) if isinstance(size, str)]
    for number, axis in enumerate(ragged):
        steps = torch.arange(values.shape[axis]).view(
            [-1 if one == axis else 1 for one in range(values.ndim)]
        )
        length = lengths[:, number].view([-1, *[1] * (values.ndim - 1)])
        if about.get("vocabulary"):
            values[steps == torch.zeros_like(length)] = BEGIN
            values[steps == length - 1] = END
        values *= steps < length
    batch[length_of(name)] = lengths[:, 0] if num_symbols == 1 else lengths
