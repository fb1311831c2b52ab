"""The sections of a configuration that describe data: fields, splits, vocabularies; see `settings`."""

import math
from dataclasses import dataclass, field
from typing import Any, Literal

from modules.configuration.errors import ConfigError
from modules.configuration.schema.mirror_address import check_address
from modules.configuration.schema.ranges import at_least, named

Node = dict[str, Any]
"""A mapping with `_target_`, the class to build, and that class's keywords."""

MIRROR_KEYS = ("mirror", "cache_dir", "cache_gib")
"""Of a dataset's settings: where its shards are had from, which changes nothing of what they are."""

Dtype = Literal["uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64", "bool"]


@dataclass(frozen=True)
class VocabularySettings:
    """The tokens that a field of text is made of; see `modules.datamodules.vocabulary`.

    Attributes:
        kind: what a token is.
        size: how many tokens there are, the four special ones included; what a model's embedding has rows.
        min_count: a rarer word or character of the training split is unknown.
        lower_case: whether texts are put into lower case first.
    """

    kind: Literal["characters", "words", "subwords"]
    size: int
    min_count: int = 1
    lower_case: bool = False

    def __post_init__(self) -> None:
        at_least(5, "size", self.size)
        at_least(1, "min_count", self.min_count)


@dataclass(frozen=True)
class FieldSettings:
    """One field of every sample.

    Attributes:
        dtype: NumPy's name of the element type.
        shape: sizes of one sample's axes; a name where the size differs from sample to sample (a ragged
            field).
        axes: what each axis is.
        units: what the numbers mean.
        classes: names of the classes, where the field is a class number.
        encoding: how one record holds it; an image that is alone in its record may be a png or jpg.
        vocabulary: of a field of text, which is int64 tokens of shape [time].
        sample_rate_hz: of a field of sound, whose first axis is time.
        boxes_of: of a field of boxes, [boxes, 4] as x0, y0, x1, y1 in pixels: the image they lie in.
        mask_of: of a field of masks, which has as many rows and columns: the image whose pixels it tells of.
    """

    dtype: Dtype
    shape: list[int | str]
    axes: list[str]
    units: str
    classes: list[str] | None = None
    encoding: Literal["npy", "png", "jpg"] = "npy"
    vocabulary: VocabularySettings | None = None
    sample_rate_hz: int | None = None
    boxes_of: str | None = None
    mask_of: str | None = None

    @property
    def symbols(self) -> tuple[str, ...]:
        """The sizes that differ from sample to sample, in the order of the axes."""
        return tuple(size for size in self.shape if isinstance(size, str))

    def __post_init__(self) -> None:
        if len(self.axes) != len(self.shape):
            raise ConfigError(
                "axes", f"{len(self.axes)} axes {self.axes} for the {len(self.shape)} sizes of {self.shape}"
            )
        for size in self.shape:
            if isinstance(size, int):
                at_least(1, "shape", size)
        if self.classes is not None and len(set(self.classes)) < len(self.classes):
            raise ConfigError("classes", "holds a name twice")
        for symbol in self.symbols:
            if not symbol.isidentifier() or symbol == "batch" or self.symbols.count(symbol) > 1:
                raise ConfigError("shape", f"{symbol!r} is no name of a size, or is there twice")
        if self.vocabulary is not None and (
            self.dtype != "int64" or len(self.symbols) != len(self.shape) != 1
        ):
            raise ConfigError("shape", f"text is {self.dtype} {self.shape}", "Write int64 and [time]")
        if self.sample_rate_hz is not None:
            at_least(1, "sample_rate_hz", self.sample_rate_hz)
        if self.boxes_of is not None and (len(self.shape) != 2 or self.shape[1] != 4):
            raise ConfigError("shape", f"boxes are {self.shape}", "Write [boxes, 4]: x0, y0, x1, y1")


@dataclass(frozen=True)
class SplitSettings:
    """A split cut from another by the hash of each sample's key.

    Attributes:
        from_: the split it is cut from.
        fraction: its share of that split's samples.
    """

    from_: str
    fraction: float

    def __post_init__(self) -> None:
        if not 0 < self.fraction < 1:
            raise ConfigError("fraction", f"{self.fraction} is not between 0 and 1")


@dataclass(frozen=True)
class DataSettings:
    """A dataset: where it comes from, how it is read, what its samples are.

    Attributes:
        name: of its folder under data/shards.
        title: for people.
        source: builds what fetches the raw files.
        reader: builds what reads samples from the raw files.
        fields: of every sample, by name.
        splits: cut from the splits that the reader gives.
        samples_per_record: how many samples one record of a shard packs; 1 for large samples.
        typical_sizes: of each size that differs from sample to sample, about its median: what costs are
            told for.
        mirror: address under which the shards lie as well: those that are not in data/shards are read from
            there; null reads the folder alone.
        cache_dir: folder that keeps shards of a mirror on this machine; null is data/cache/shards.
        cache_gib: most GiB that it keeps.
    """

    name: str
    title: str
    source: Node
    reader: Node
    fields: dict[str, FieldSettings]
    splits: dict[str, SplitSettings]
    samples_per_record: int
    typical_sizes: dict[str, int] = field(default_factory=dict)
    mirror: str | None = None
    cache_dir: str | None = None
    cache_gib: float = 10.0

    @property
    def symbols(self) -> tuple[str, ...]:
        """The sizes that differ from sample to sample, of all fields."""
        return tuple(dict.fromkeys(symbol for one in self.fields.values() for symbol in one.symbols))

    def __post_init__(self) -> None:
        named("name", "dataset", self.name)
        if self.mirror is not None:
            check_address("mirror", self.mirror)
        if self.cache_dir is not None and not (self.cache_dir.strip() and self.cache_dir.isprintable()):
            raise ConfigError("cache_dir", f"{self.cache_dir!r} names no folder")
        if not 0 < self.cache_gib < math.inf:
            raise ConfigError("cache_gib", f"{self.cache_gib} is no number above 0")
        for name, one in self.fields.items():
            named(f"fields.{name}", "field", name)
            if one.symbols and f"{name}_length" in self.fields:
                raise ConfigError(f"fields.{name}_length", f"is what the lengths of {name} are called")
            if one.boxes_of is not None and one.boxes_of not in self.fields:
                raise ConfigError(f"fields.{name}.boxes_of", f"there is no field {one.boxes_of!r}")
            if one.mask_of is not None:
                self._check_mask(name, one, one.mask_of)
        for symbol, size in self.typical_sizes.items():
            at_least(1, f"typical_sizes.{symbol}", size)
        if set(self.typical_sizes) != set(self.symbols):
            hint = "Write about the median of each size that differs from sample to sample"
            raise ConfigError(
                "typical_sizes",
                f"names {sorted(self.typical_sizes)}, the fields {sorted(self.symbols)}",
                hint,
            )
        for split in self.splits:
            named(f"splits.{split}", "split", split)
        at_least(1, "samples_per_record", self.samples_per_record)

    def _check_mask(self, name: str, mask: FieldSettings, image: str) -> None:
        """Height and width are the same in both: numbers, or symbols that each sample is checked for."""
        if image not in self.fields:
            raise ConfigError(f"fields.{name}.mask_of", f"there is no field {image!r}")
        if len(mask.shape) < 2 or mask.shape[-2:] != self.fields[image].shape[-2:]:
            raise ConfigError(
                f"fields.{name}.shape",
                f"the mask is {mask.shape}, its image {image!r} {self.fields[image].shape}",
                "Give both the same height and width",
            )
