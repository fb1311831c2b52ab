"""Published WebDataset shards: tar files in which the files of one sample share a name.

`000000012.jpg`, `000000012.txt` and `000000012.json` are one sample, the file of each ending one of its
members: what img2dataset and the `webdataset` library write (Aizman et al. 2019, *High performance I/O for
large scale deep learning*, arXiv 2001.01858, section III).
"""

import json
import tarfile
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from modules.configuration.errors import UserError
from modules.configuration.regular_file import open_regular
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.encodings import MODES
from modules.datamodules.formats.sound_folder import read_sound
from modules.datamodules.image_file import read_image, read_whole_image
from modules.datamodules.own_files import LeftOut, OnBadFile, content_hash, counted, equal_notes, read_all
from modules.datamodules.samples import Column, Samples
from modules.datamodules.tar_member import TarMember, open_file
from modules.sources.folder_files import files_beneath

Member = tuple[str, TarMember]
Read = Callable[[TarMember], Any]


class WebDatasetReader:
    """Samples of the tar files of each split, each field read from one member.

    An image is brought to the size and channels of its field; where its height and width are names, it keeps
    its own. A class is its number or one of the field's `classes`. A field of text is a member's UTF-8.

    Args:
        files: of each split, a pattern such as `train/*.tar` beneath the source.
        members: of each field, the ending of its member, or several in the order of preference: `jpg;png`.
            `json:meta.label` is what lies in a member of JSON under these names.
        on_bad_file: whether a sample that cannot be read, or lacks a member, is an error, or left out and
            told.
    """

    def __init__(
        self, files: dict[str, str], members: dict[str, str], on_bad_file: OnBadFile = "error"
    ) -> None:
        self.files = files
        self.members = members
        self.on_bad_file: OnBadFile = on_bad_file

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The splits; a sample's key is its tar file and its name there. Equal ones lie in one split.

        Raises:
            UserError: no file is of a pattern, a file is no tar file, the fields have other members, or
                samples cannot be read.
        """
        if set(self.members) != set(fields):
            raise UserError(
                f"reader.members is of {', '.join(self.members)}, the dataset has {', '.join(fields)}",
                "Name the member of each field",
            )
        reads = {name: _reading(name, fields[name], self.members[name]) for name in fields}
        archives = {split: _archives(raw, pattern) for split, pattern in self.files.items()}
        every = [archive for some in archives.values() for archive in some]
        if twice := [archive for archive in every if every.count(archive) > 1]:
            raise UserError(f"{twice[0]} is in two splits", "Correct reader.files")
        return {split: self._split(raw, some, reads) for split, some in archives.items()}

    def _split(self, raw: Path, archives: Sequence[Path], reads: Mapping[str, Read]) -> "WebDatasetSamples":
        left_out = LeftOut(raw)
        found: dict[Path, dict[str, TarMember]] = {}
        for archive in archives:
            for key, members in _samples_of(archive, left_out).items():
                found[Path(f"{archive}/{key}")] = members

        def read(sample: Path) -> str:
            chosen = self._chosen(sample, found[sample])
            parts = [content_hash(np.asarray(reads[name](chosen[name]))) for name in reads]
            return "".join(parts)

        hashes = read_all(list(found), read, self.on_bad_file, left_out)
        keys = [path.relative_to(raw).as_posix() for path in hashes]
        members = [self._chosen(sample, found[sample]) for sample in hashes]
        places = list(hashes.values())
        notes = [*left_out.notes, *self._unread(found), *equal_notes(keys, places)]
        return WebDatasetSamples(keys, places, members, reads, notes)

    def _chosen(self, sample: Path, members: Mapping[str, TarMember]) -> dict[str, TarMember]:
        """The member of each field."""
        chosen = {}
        for name, wanted in self.members.items():
            endings = wanted.partition(":")[0].split(";")
            found = next((members[ending] for ending in endings if ending in members), None)
            if found is None:
                raise UserError(
                    f"{sample} has no member {wanted} for the field {name!r}: it has {', '.join(members)}",
                    "Correct reader.members",
                )
            chosen[name] = found
        return chosen

    def _unread(self, samples: Mapping[Path, Mapping[str, TarMember]]) -> list[str]:
        """What is said of members that no field takes."""
        taken = {ending for wanted in self.members.values() for ending in wanted.partition(":")[0].split(";")}
        names: dict[str, list[str]] = {}
        for sample, members in samples.items():
            for ending in members.keys() - taken:
                names.setdefault(ending, []).append(sample.name)
        return [f"{counted(paths)} left out, .{ending} is of no field" for ending, paths in names.items()]


class WebDatasetSamples:
    """Samples whose members are read when they are asked for.

    Args:
        keys: a name for each.
        places: of each the hash of its content.
        members: of each, the member of every field.
        reads: from a member to the field's value, by field.
        notes: what is to be said about them.
    """

    def __init__(
        self,
        keys: Sequence[str],
        places: Sequence[str],
        members: Sequence[Mapping[str, TarMember]],
        reads: Mapping[str, Read],
        notes: Sequence[str],
    ) -> None:
        self.keys, self.places, self.notes = keys, places, notes
        self._members, self._reads = members, reads

    def read(self, numbers: np.ndarray) -> dict[str, Column]:
        """The fields of the samples with these numbers."""
        columns = {}
        for name, read in self._reads.items():
            values = [read(self._members[number][name]) for number in numbers]
            same = not isinstance(values[0], str) and len({np.shape(value) for value in values}) == 1
            columns[name] = np.stack(values) if same else values
        return columns


def _archives(raw: Path, pattern: str) -> list[Path]:
    found = [path for path in files_beneath(raw) if path.relative_to(raw).match(pattern)]
    if not found:
        raise UserError(f"{raw} holds no file {pattern}", "Correct reader.files: a pattern for each split")
    return found


def _samples_of(archive: Path, left_out: LeftOut) -> dict[str, dict[str, TarMember]]:
    """The members of each sample, by their endings, in the order of the tar file."""
    from webdataset.tariterators import base_plus_ext  # imports torch

    found: dict[str, dict[str, TarMember]] = {}
    try:
        with open_regular(archive, links=True) as file, tarfile.open(fileobj=file, mode="r:") as opened:
            for entry in opened:
                if entry.isdir():
                    continue
                key, ending = base_plus_ext(entry.name)
                if not key or not ending or not entry.isreg() or entry.issparse():
                    left_out.add("no file of a sample", Path(f"{archive}/{entry.name}"))
                    continue
                members = found.setdefault(key, {})
                if ending.lower() in members:
                    raise UserError(f"{archive} holds {entry.name} twice", "Take one of them out")
                members[ending.lower()] = TarMember(archive, entry.name, entry.offset_data, entry.size)
            file.seek(opened.offset)
            if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):  # tarfile takes it for the end
                raise tarfile.ReadError(f"damaged or cut at byte {opened.offset}")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise UserError(
            f"{archive} is no tar file that can be read ({error})",
            "Unpack what is compressed, repair the rest",
        ) from error
    if not found:
        raise UserError(f"{archive} holds no sample", "Its files have to be named KEY.ENDING")
    return found


def _reading(name: str, field: FieldSettings, member: str) -> Read:
    """How a field's value is read from its member."""
    ending, _, place = member.partition(":")
    if place:
        return partial(_from_json, name, field, place.split("."))
    if field.vocabulary is not None:
        return _text
    if ending.rpartition(".")[2] == "npy":
        return partial(_array, name, field)
    if field.sample_rate_hz is not None:
        rate = field.sample_rate_hz
        return lambda found: read_sound(found, rate)
    if field.classes is not None or not field.shape:
        return lambda found: _number(name, field, _text(found).strip(), found)
    match field.dtype, field.shape:
        case "uint8", [int(channels), int(height), int(width)] if channels in MODES:
            return lambda found: read_image(found, channels, height, width)
        case "uint8", [int(channels), str(), str()] if channels in MODES:
            return lambda found: read_whole_image(found, channels)
    raise UserError(
        f"fields.{name} is {field.dtype} {field.shape}, which no member {member!r} is read as",
        "Images are uint8 [1, 3 or 4, height, width], arrays members npy, texts have a vocabulary",
    )


def _text(found: TarMember) -> str:
    try:
        return found.read().decode()
    except ValueError as error:
        raise UserError(f"{found} is no text in UTF-8", "Repair or remove it") from error


def _array(name: str, field: FieldSettings, found: TarMember) -> np.ndarray:
    try:
        with open_file(found) as file:
            array = np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{found} is no array that can be read ({error})", "Repair or remove it") from error
    return _as(name, field, array, found)


def _from_json(name: str, field: FieldSettings, place: Sequence[str], found: TarMember) -> Any:
    try:
        value = json.loads(_text(found))
        for key in place:
            value = value[key]
    except (ValueError, RecursionError) as error:
        raise UserError(f"{found} is no JSON ({error})", "Repair or remove it") from error
    except (KeyError, TypeError, IndexError) as error:
        raise UserError(f"{found} has no {'.'.join(place)}", "Correct reader.members") from error
    if field.vocabulary is not None:
        if not isinstance(value, str):
            raise UserError(f"{'.'.join(place)} of {found} is no text", "Correct reader.members")
        return value
    return (
        _number(name, field, value, found)
        if field.classes or not field.shape
        else _as(name, field, value, found)
    )


def _number(name: str, field: FieldSettings, value: Any, found: TarMember) -> np.ndarray:
    """A class by its name or number, or one number."""
    if field.classes is not None and value in field.classes:
        value = field.classes.index(value)
    if isinstance(value, str) and value.lstrip("-").isdecimal():
        value = int(value)
    if field.classes is not None and not f"{value}".lstrip("-").isdecimal():
        raise UserError(
            f"{found} says {f'{value}'[:40]!r}, which is none of fields.{name}.classes", "Name it there"
        )
    return _as(name, field, value, found)


def _as(name: str, field: FieldSettings, value: Any, found: TarMember) -> np.ndarray:
    """Numbers in the field's type, if they are the same in it."""
    try:
        array = np.asarray(value)
        if array.dtype.kind == "U":
            array = array.astype(np.float64)
        changed = array.astype(field.dtype)
    except (ValueError, TypeError, OverflowError) as error:
        raise UserError(f"{found} holds no numbers for the field {name!r}", "Repair or remove it") from error
    whole = np.dtype(field.dtype).kind in "iub"
    if (whole and not np.array_equal(changed, array)) or not np.isfinite(array).all():
        raise UserError(
            f"{found}: numbers of the field {name!r} are none of {field.dtype}", "Correct the dtype"
        )
    return changed
