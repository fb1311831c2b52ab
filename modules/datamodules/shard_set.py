"""A dataset on disk: its splits, fields and vocabularies as shards.json describes them.

What comes from a file is not trusted: shards.json is checked key by key, a shard's size and sha256 before
its first sample is given, every tar header, and every array's type and shape against the schema.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from modules.configuration.errors import UserError
from modules.configuration.names import check_name
from modules.configuration.plans.made_of import difference, how_to_shard, how_to_shard_again, made_otherwise
from modules.configuration.plans.mirrored_index import bring_index
from modules.configuration.regular_file import read_regular_text
from modules.configuration.schema.data_settings import DataSettings, FieldSettings, VocabularySettings
from modules.configuration.schema.mirror_address import check_address
from modules.configuration.schema.settings import read
from modules.datamodules.encodings import check_encoding
from modules.datamodules.mirror.mirrored_split import MirroredSplit
from modules.datamodules.mirror.shard_mirror import ShardMirror
from modules.datamodules.shard_file import INDEX, READABLE_FORMATS, Shard, members_of
from modules.datamodules.shard_split import ShardSplit
from modules.datamodules.tar_records import Spans, from_plain
from modules.datamodules.vocabulary import Vocabulary

_INDEX_FIELD = FieldSettings(dtype="int64", shape=[], axes=[], units="number in the source")


@dataclass(frozen=True)
class ShardSet:
    """A dataset on disk.

    Attributes:
        folder: where it lies.
        dataset: its name.
        title: its name for people.
        licence: of the data.
        source: where the data come from: name, package, version, sha256.
        fields: what each sample holds.
        splits: by name.
        vocabularies: of the fields of text, by their names.
    """

    folder: Path
    dataset: str
    title: str
    licence: str
    source: Mapping[str, Any]
    fields: Mapping[str, FieldSettings]
    splits: Mapping[str, ShardSplit]
    vocabularies: Mapping[str, Vocabulary] = field(default_factory=dict)

    @classmethod
    def open(cls, folder: Path, data: DataSettings | None = None) -> "ShardSet":
        """The shards in `folder`; no shard is read yet.

        Args:
            folder: data/shards/<dataset>.
            data: what the plan says about the dataset; the shards must agree with it.

        Raises:
            UserError: if they are missing, damaged, or of another schema than the plan's.
        """
        again = how_to_shard(folder.name)
        path = folder / "shards.json"
        if data is not None and data.mirror is not None:
            bring_index(data.mirror, path)
        try:
            found = json.loads(read_regular_text(path, links=True))
            opened = cls._described(folder, found)
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"{folder} holds no shards", again) from None
        except UserError as error:
            raise UserError(f"{path}: {error.problem}", again) from error
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UserError(f"{path} is damaged ({type(error).__name__}: {error})", again) from error
        if data is not None and (other := opened._unlike(data)):
            raise UserError(f"{path} has {other} other than the plan's", how_to_shard_again(folder.name))
        if data is not None and (other := difference(found.get("made_of"), data)):
            raise made_otherwise(path, other)
        if data is not None and data.mirror is not None:
            return opened._mirrored(ShardMirror.of(data, folder, found.get("mirrors", [])))
        return opened

    def _mirrored(self, mirror: ShardMirror) -> "ShardSet":
        """The same, with the shards that are not in the folder had from a mirror."""
        splits = {
            name: split
            if all(shard.path.is_file() for shard in split.shards)
            else MirroredSplit(**vars(split), mirror=mirror)
            for name, split in self.splits.items()
        }
        return replace(self, splits=splits)

    def _unlike(self, data: DataSettings) -> str:
        """What differs from the plan; empty if nothing does."""
        names = {**data.fields, **self.fields}
        differing = [name for name in names if self.fields.get(name) != data.fields.get(name)]
        if self.dataset != data.name:
            return f"the dataset {self.dataset!r}"
        if differing:
            return f"fields {', '.join(differing)}"
        packed = {split.samples_per_record for split in self.splits.values()}
        if packed != {data.samples_per_record}:
            return f"{', '.join(map(str, sorted(packed)))} samples a record"
        return ""

    @classmethod
    def _described(cls, folder: Path, found: dict[str, Any]) -> "ShardSet":
        if found["format"] not in READABLE_FORMATS:
            raise UserError(f"format {found['format']!r} is unknown")
        for address in found.get("mirrors", []):
            check_address("mirrors", address)
        fields = {
            check_name("field", name): read(FieldSettings, values, f"fields.{name}")
            for name, values in found["fields"].items()
        }
        return cls(
            folder=folder,
            dataset=check_name("dataset", found["dataset"]),
            title=_text(found, "title"),
            licence=_text(found, "licence"),
            source=dict(found["source"]),
            fields=fields,
            splits={
                check_name("split", name): _split(folder, name, values, fields, found["format"] > 1)
                for name, values in found["splits"].items()
            },
            vocabularies={
                name: _vocabulary(found, name, one.vocabulary)
                for name, one in fields.items()
                if one.vocabulary is not None
            },
        )

    def split(self, name: str) -> ShardSplit:
        """The split of that name.

        Raises:
            UserError: if there is none.
        """
        if name not in self.splits:
            raise UserError(f"{self.folder} has no split {name!r}", f"There is: {', '.join(self.splits)}")
        return self.splits[name]

    def hashes(self) -> dict[str, str]:
        """The sha256 of each shard by its file name: what the data are, whatever they are called."""
        return {shard.path.name: shard.sha256 for split in self.splits.values() for shard in split.shards}


def _split(
    folder: Path, name: str, values: dict[str, Any], fields: dict[str, FieldSettings], has_spans: bool
) -> ShardSplit:
    per_record = _count(values, "samples_per_record")
    for field_name, settings in fields.items():
        check_encoding(field_name, settings, per_record)
    all_fields = {**fields, INDEX: _INDEX_FIELD}
    shards = []
    for number, entry in enumerate(values["shards"]):
        path, sha256 = _text(entry, "path"), _text(entry, "sha256")
        if path != f"{name}-{number:06d}.tar":
            raise UserError(f"{path!r} is no shard's name")
        if not re.fullmatch(r"[0-9a-f]{64}", sha256):
            raise UserError(f"{sha256!r} is no sha256")
        num_samples, num_bytes = _count(entry, "num_samples"), _count(entry, "num_bytes")
        if num_samples % per_record and number < len(values["shards"]) - 1:
            raise UserError(f"{path} ends in the middle of a record")
        shard = Shard(folder / path, sha256, num_bytes, num_samples, per_record, all_fields)
        shards.append(replace(shard, spans=_spans(entry, shard)) if has_spans else shard)
    total = sum(shard.num_samples for shard in shards)
    if total != _count(values, "num_samples"):
        raise UserError(f"the shards of {name} hold {total} samples, not {values['num_samples']}")
    return ShardSplit(name, total, per_record, all_fields, tuple(shards))


def _spans(entry: dict[str, Any], shard: Shard) -> Spans:
    num_records = -(-shard.num_samples // shard.samples_per_record)
    try:
        return from_plain(entry["records"], members_of(shard.fields), num_records, shard.num_bytes)
    except UserError as error:
        raise UserError(f"{shard.path.name}: {error.problem}") from None


def _vocabulary(found: dict[str, Any], name: str, settings: VocabularySettings) -> Vocabulary:
    vocabulary = Vocabulary.from_plain(found["vocabularies"][name])
    if (vocabulary.kind, len(vocabulary)) != (settings.kind, settings.size):
        raise UserError(f"the vocabulary of {name} is not what its field says")
    return vocabulary


def _text(values: dict[str, Any], key: str) -> str:
    if not isinstance(values[key], str) or any(ord(letter) < 32 for letter in values[key]):
        raise UserError(f"{key}={values[key]!r} is no plain text")
    return values[key]


def _count(values: dict[str, Any], key: str) -> int:
    if type(values[key]) is not int or not 0 < values[key] < math.inf:
        raise UserError(f"{key}={values[key]!r} is no count")
    return values[key]
