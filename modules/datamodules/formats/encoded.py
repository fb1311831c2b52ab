"""Images as a frozen network sees them: its maps are computed once, when a dataset is packed, not in every
epoch.

Who trains on them trains what lies above the network alone, and passes each image through it never again
(Donahue et al. 2014, *DeCAF*, arXiv 1310.1531).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.samples import Column, Reader, Samples, raw_path

_BATCH = 50


class Adapter(Protocol):
    """Gives weights of a file the names of a network of this repository."""

    def read(self, file: Path) -> Mapping[str, Tensor]:
        """The weights by name."""
        ...


class EncodedReader:
    """The samples of another reader, whose images became maps of float16.

    Args:
        reader: of the images and all else.
        image_shape: (channels, height, width) that it reads images in, uint8.
        encoder: the network; see `modules.models.features.Backbone`.
        map: the name of the map that is kept.
        weights: the file of its weights beneath the source.
        adapter: see `modules.weights`.
        field: of images, and then of maps.
    """

    def __init__(
        self,
        reader: Reader,
        image_shape: Sequence[int],
        encoder: nn.Module,
        map: str,
        weights: str,
        adapter: Adapter,
        field: str = "image",
    ) -> None:
        self.reader, self.image_shape, self.encoder, self.map = reader, list(image_shape), encoder, map
        self.weights, self.adapter, self.field = weights, adapter, field

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The other reader's splits.

        Raises:
            UserError: the field is not of maps as the network gives them, or weights are missing.
        """
        if self.field not in fields:
            raise UserError(f"the dataset has the fields {', '.join(fields)}", f"Describe {self.field}")
        encoder = self._loaded(raw_path(raw, self.weights))
        maps = _maps(encoder, np.zeros((1, *self.image_shape), np.uint8), self.map)
        wanted = fields[self.field]
        if wanted.dtype != "float16" or list(wanted.shape) != list(maps.shape[1:]):
            raise UserError(
                f"fields.{self.field} is {wanted.dtype} {wanted.shape}",
                f"The network's {self.map} of such images is float16 {list(maps.shape[1:])}",
            )
        axes = ["channel", "height", "width"]
        image = replace(wanted, dtype="uint8", shape=self.image_shape, axes=axes, units="level 0..255")
        inner = self.reader.samples(raw, fields | {self.field: image})
        return {split: _Encoded(some, encoder, self.map, self.field) for split, some in inner.items()}

    def _loaded(self, file: Path) -> nn.Module:
        found = self.adapter.read(file)
        missing = [name for name in self.encoder.state_dict() if name not in found]
        own = [name for name, _ in self.encoder.named_parameters() if name in missing]
        if own:
            raise UserError(f"{file} has no weights for {own[0]} of the encoder", "Take another network")
        self.encoder.load_state_dict(dict(found), strict=False)
        return self.encoder.eval()


class _Encoded:
    """Samples whose images pass through the network when they are asked for."""

    def __init__(self, samples: Samples, encoder: nn.Module, map_: str, field: str) -> None:
        self.keys, self.places, self.notes = samples.keys, samples.places, samples.notes
        self._samples, self._encoder, self._map, self._field = samples, encoder, map_, field

    def read(self, numbers: np.ndarray) -> Mapping[str, Column]:
        found = dict(self._samples.read(numbers))
        images = found[self._field]
        parts = [
            _maps(self._encoder, images[first : first + _BATCH], self._map)
            for first in range(0, len(images), _BATCH)
        ]
        return found | {self._field: np.concatenate(parts)}


@torch.no_grad()
def _maps(encoder: nn.Module, images: np.ndarray, name: str) -> np.ndarray:
    """float16 [images, channels, height, width].

    Raises:
        UserError: the network has no such map.
    """
    found = encoder.feature_maps(torch.from_numpy(images).float() / 255)  # pyright: ignore
    if name not in found:
        raise UserError(f"reader.map={name!r} is no map of the encoder", f"It has {', '.join(found)}")
    return found[name].half().numpy()
