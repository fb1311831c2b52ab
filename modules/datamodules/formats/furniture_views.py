"""Views of furniture from all around, of the models that Sweet Home 3D's libraries carry (.sh3f, a zip).

A library holds OBJ files with their materials, and a catalogue that says how a model has to be turned to
stand upright and face the front. Each model is centred and brought to one size, then seen from a ring of
azimuths at some elevations: what Dosovitskiy, Springenberg & Brox (2015), *Learning to generate chairs with
convolutional neural networks* (arXiv 1411.5928), section 3, had of the chairs of Aubry et al. (2014).

What is held out are views, of every model the same: between two azimuths that are learned, and at an azimuth
that is learned at other elevations.
"""

import re
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.image_file import UNREADABLE
from modules.datamodules.rasteriser import view_of
from modules.datamodules.samples import ArraySamples, Samples, raw_path
from modules.datamodules.wavefront import Surface, read_wavefront

_CATALOGUE = "PluginFurnitureCatalog.properties"
_ENTRY = re.compile(r"^(model|modelRotation)#(\d+)\s*=\s*(.*?)\s*$", re.MULTILINE)
_SPLITS = ("train", "validation", "test")
_BACKGROUND = 0.88
"""Light grey: white furniture is seen before it."""


class FurnitureViewReader:
    """Images, masks, the model's number and the view, as sine and cosine of azimuth and elevation.

    Args:
        libraries: the folder of the .sh3f files beneath the source.
        models: the path of each model's OBJ file in its library, by what it is called.
        azimuths: views around, from the front to the camera's right.
        elevations_deg: of the camera above the horizon, rising.
        held_out_every: of so many azimuths one is of the split test and one of validation, others at each
            elevation.

    Raises:
        ValueError: a view that is held out would not lie between two that are learned.
    """

    def __init__(
        self,
        libraries: str,
        models: dict[str, str],
        azimuths: int,
        elevations_deg: list[float],
        held_out_every: int,
    ) -> None:
        if held_out_every < 4 or azimuths < 1 or azimuths % held_out_every:
            raise ValueError(f"held_out_every={held_out_every} is below 4, or does not divide {azimuths=}")
        self.libraries = libraries
        self.models = models
        self.azimuths = azimuths
        self.elevations_deg = elevations_deg
        self.held_out_every = held_out_every

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The splits; a sample's key is model/azimuth/elevation in degrees. All images are made here.

        Raises:
            UserError: fields and models do not agree, or a model is missing or damaged.
        """
        size = self._image_px(fields)
        views = [
            (turn, height) for height in range(len(self.elevations_deg)) for turn in range(self.azimuths)
        ]
        angles_deg = np.array(
            [(360 * turn / self.azimuths, self.elevations_deg[height]) for turn, height in views]
        )
        radians = np.radians(angles_deg)
        # [views, 4]: sine and cosine of the azimuth, sine and cosine of the elevation
        directions = np.stack([np.sin(radians), np.cos(radians)], axis=2).reshape(-1, 4).astype(np.float32)
        held_out = np.array([self._split(*view) for view in views])
        keys: dict[str, list[str]] = {split: [] for split in _SPLITS}
        parts: dict[str, list[dict[str, np.ndarray]]] = {split: [] for split in _SPLITS}
        with ExitStack() as opened:
            surfaces = _Libraries(raw_path(raw, self.libraries), opened)
            for number, path in enumerate(self.models.values()):
                surface = surfaces.read(path)
                seen = [view_of(surface, turn, rise, size, _BACKGROUND) for turn, rise in angles_deg.tolist()]
                images, masks = (np.stack(part) for part in zip(*seen, strict=True))
                for split in _SPLITS:
                    mine = np.flatnonzero(held_out == split)
                    keys[split] += [f"{path}/{turn:g}/{rise:g}" for turn, rise in angles_deg[mine]]
                    parts[split].append(
                        {
                            "image": images[mine],
                            "mask": masks[mine],
                            "label": np.full(len(mine), number, np.int64),
                            "view": directions[mine],
                        }
                    )
        return {
            split: ArraySamples(
                keys[split], {name: np.concatenate([part[name] for part in parts[split]]) for name in fields}
            )
            for split in _SPLITS
        }

    def _split(self, turn: int, height: int) -> str:
        """Of a view. With three elevations and six, each azimuth is held out at one elevation exactly."""
        place = (turn + height * max(self.held_out_every // 3, 1)) % self.held_out_every
        return {0: "test", self.held_out_every // 2: "validation"}.get(place, "train")

    def _image_px(self, fields: dict[str, FieldSettings]) -> int:
        if set(fields) != {"image", "mask", "label", "view"}:
            raise UserError(
                f"the dataset has the fields {sorted(fields)}", "Views are image, mask, label and view"
            )
        image, mask, label, view = (fields[name] for name in ("image", "mask", "label", "view"))
        size = image.shape[-1]
        if not isinstance(size, int) or image.dtype != "uint8" or image.shape != [3, size, size]:
            raise UserError(f"fields.image is {image.dtype} {image.shape}", "Views are uint8 [3, size, size]")
        for name, one, dtype, shape in (
            ("mask", mask, "uint8", [size, size]),
            ("view", view, "float32", [4]),
        ):
            if one.dtype != dtype or one.shape != shape:
                raise UserError(f"fields.{name} is {one.dtype} {one.shape}", f"Write {dtype} {shape}")
        if label.classes != list(self.models):
            raise UserError(
                "fields.label.classes differ from reader.models", "Name the same, in the same order"
            )
        return size


class _Libraries:
    """All libraries of a folder, as one."""

    def __init__(self, folder: Path, opened: ExitStack) -> None:
        self._holds: dict[str, Callable[[str], bytes]] = {}
        self._rotations: dict[str, np.ndarray] = {}
        for path in sorted(folder.glob("*.sh3f")):
            try:
                library = opened.enter_context(zipfile.ZipFile(path))
                catalogue = library.read(_CATALOGUE).decode("latin-1")
            except (OSError, zipfile.BadZipFile, KeyError) as error:
                raise UserError(f"{path} is no library of furniture ({error})", "Fetch it again") from error
            self._holds |= dict.fromkeys(library.namelist(), library.read)
            entries = {(key, number): value for key, number, value in _ENTRY.findall(catalogue)}
            for (key, number), value in entries.items():
                if key == "modelRotation" and ("model", number) in entries:
                    rows = np.array(value.split(), np.float64).reshape(3, 3)
                    self._rotations[entries["model", number].lstrip("/")] = rows

    def read(self, path: str) -> Surface:
        """A model upright, its front towards +z, centred, and in the ball of radius 1.

        Raises:
            UserError: no library has it, or it is damaged.
        """
        if path not in self._holds:
            raise UserError(f"no library holds the model {path!r}", "Correct reader.models")
        try:
            surface = read_wavefront(path, self._holds[path])
        except (KeyError, zipfile.BadZipFile, *UNREADABLE) as error:
            raise UserError(f"the model {path!r} can't be read ({error})", "Leave it out") from error
        corners = surface.triangles @ self._rotations.get(path, np.eye(3)).T
        corners = corners - (corners.min(axis=(0, 1)) + corners.max(axis=(0, 1))) / 2
        return Surface(corners / np.linalg.norm(corners, axis=2).max(), surface.colours)
