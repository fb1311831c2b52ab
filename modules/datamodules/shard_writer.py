"""Write a dataset as WebDataset shards: tar files that hold records, and shards.json that describes them.

Small samples are packed many to a record, which makes reading them as cheap as reading a memory map; large
samples stay alone in theirs. A record is a run of tar members `<record>.<field>.<encoding>`, so that the
plain `webdataset` package reads it too. The samples of a split lie in an order fixed once by the hash of
their keys: each record is then a fair sample of the whole split, and it is the same on every machine. The
bytes depend on the source, the data YAML and this code alone.
"""

import dataclasses
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from modules.configuration.errors import UserError
from modules.configuration.plans.made_of import made_of
from modules.configuration.regular_file import read_regular_text
from modules.configuration.schema.data_settings import DataSettings, SplitSettings
from modules.configuration.static_analysis.targets import build
from modules.datamodules.encodings import check_encoding
from modules.datamodules.records import SeenClasses, Sizes, record
from modules.datamodules.samples import Samples
from modules.datamodules.shard_file import FORMAT, INDEX
from modules.datamodules.statistics_of_fields import field_statistics
from modules.datamodules.tar_records import BLOCK, Spans, to_plain
from modules.datamodules.vocabulary import Vocabulary, build_vocabulary
from modules.sources.cache import sha256_of
from modules.sources.replacement import replaced_folder

MAX_SHARD_BYTES = 64 * 2**20
_TEXTS_AT_ONCE = 10_000


def write_shards(
    data: DataSettings,
    raw: Path,
    out: Path,
    *,
    max_shard_bytes: int = MAX_SHARD_BYTES,
    progress: Callable[[int, int], None] = lambda done, total: None,
    say: Callable[[str], None] = lambda note: None,
) -> dict[str, Any]:
    """Write all splits of a dataset into the folder `out`, which is replaced in one step when all is written.

    Args:
        data: the dataset.
        raw: the fetched source.
        out: the folder of its shards.
        max_shard_bytes: a shard is closed before it grows beyond this.
        progress: told how many samples of how many are written.
        say: told, a line each, what was left out of the source, and which samples are equal.

    Returns:
        The content of shards.json.

    Raises:
        UserError: if the source is missing, its samples aren't as the YAML says, a class has none to train
            on, or nothing can be written.
    """
    if INDEX in data.fields:
        raise UserError(f"fields.{INDEX} is written by the yard itself", "Give the field another name")
    for name, field in data.fields.items():
        check_encoding(name, field, data.samples_per_record)
    source = _read_source(raw, data)
    with _named_as_the_user_does(raw, data.source):
        samples = build(data.reader).samples(raw, data.fields)
    for split in samples.values():
        for note in split.notes:
            say(note)
    chosen = split_samples(samples, data.splits)
    vocabularies = _vocabularies(samples, chosen, data, say)
    statistics = field_statistics(samples, chosen, data.fields)
    total = sum(len(numbers) for _, numbers in chosen.values())
    done, seen = 0, SeenClasses(data.fields)
    splits: dict[str, Any] = {}
    with replaced_folder(out) as folder:
        for split, (origin, numbers) in chosen.items():
            shards = _ShardFiles(folder, split, max_shard_bytes)
            sizes = Sizes()
            for start in range(0, len(numbers), data.samples_per_record):
                some = numbers[start : start + data.samples_per_record]
                arrays = samples[origin].read(some)
                keys = [samples[origin].keys[number] for number in some]
                shards.add(record(arrays, keys, some, data, vocabularies, sizes), len(some))
                if split == "train":
                    seen.add(arrays)
                done += len(some)
                progress(done, total)
            splits[split] = {
                "num_samples": len(numbers),
                "samples_per_record": data.samples_per_record,
                "from": origin,
                "shards": shards.close(),
                **sizes.to_plain(),
            }
            if split == "train":
                seen.check(split)
        described = {
            "format": FORMAT,
            "dataset": data.name,
            "title": data.title,
            "licence": source["licence"],
            "source": {key: value for key, value in source.items() if key != "files"},
            "mirrors": [],
            "made_of": made_of(data),
            "fields": {name: dataclasses.asdict(field) for name, field in data.fields.items()},
            **({"vocabularies": _plain(vocabularies)} if vocabularies else {}),
            **({"statistics": statistics} if statistics else {}),
            "splits": splits,
        }
        (folder / "shards.json").write_text(index_text(described))
    return described


def index_text(described: dict[str, Any]) -> str:
    """The text of shards.json, with the numbers of a list side by side: a line for each would be the most of
    it."""
    text = json.dumps(described, indent=1) + "\n"
    return re.sub(r"\[\n([-\s\d,]+)\]", lambda found: f"[{' '.join(found[1].split())}]", text)


def _vocabularies(
    samples: dict[str, Samples],
    chosen: dict[str, tuple[str, np.ndarray]],
    data: DataSettings,
    say: Callable[[str], None],
) -> dict[str, Vocabulary]:
    """Of each field of text, made of the training split."""
    texts = {name: one.vocabulary for name, one in data.fields.items() if one.vocabulary is not None}
    if texts and "train" not in chosen:
        raise UserError(f"{data.name} has text and no split 'train'", "A vocabulary is made of that split")
    if not texts:
        return {}
    origin, numbers = chosen["train"]
    read: dict[str, list[str]] = {name: [] for name in texts}
    for piece in np.array_split(np.sort(numbers), len(numbers) // _TEXTS_AT_ONCE + 1):
        columns = samples[origin].read(piece)  # once for all fields: it may make images as well
        for name, some in read.items():
            some += map(str, columns[name])
    return {
        name: build_vocabulary(settings, read[name], f"fields.{name}.vocabulary", say)
        for name, settings in texts.items()
    }


def _plain(vocabularies: dict[str, Vocabulary]) -> dict[str, Any]:
    return {name: one.to_plain() | {"sha256": one.sha256()} for name, one in vocabularies.items()}


def split_samples(
    samples: dict[str, Samples], cuts: dict[str, SplitSettings]
) -> dict[str, tuple[str, np.ndarray]]:
    """The splits of a dataset: for each the split of the source it comes from and its samples in shard order.

    Eight bytes of the sha256 of its split and place choose a sample's split, the next eight, of its split and
    key, where it lies there. So samples that are added later don't move the others into another split, and
    those of one place are not parted.

    Raises:
        UserError: if a split is cut from a missing one, takes the name of another, or gets no sample.
    """
    chosen: dict[str, tuple[str, np.ndarray]] = {}
    for origin, found in samples.items():
        place, order = _hashed(origin, found.places)[0], _hashed(origin, found.keys)[1]
        below = 0.0
        for name, cut in cuts.items():
            if cut.from_ == origin:
                mine = (place >= below) & (place < below + cut.fraction)
                below += cut.fraction
                chosen[name] = (origin, np.flatnonzero(mine))
        if below >= 1:
            raise UserError(f"the splits cut from {origin!r} take all of it", "Lower their fractions")
        chosen[origin] = (origin, np.flatnonzero(place >= below))
        for name, (taken, numbers) in chosen.items():
            if taken == origin:
                chosen[name] = (origin, numbers[np.argsort(order[numbers], kind="stable")])
    for name, cut in cuts.items():
        if cut.from_ not in samples or name in samples:
            raise UserError(
                f"splits.{name} is cut from {cut.from_!r}", f"The source has {', '.join(samples)}"
            )
    for name, (_, numbers) in chosen.items():
        if len(numbers) == 0:
            raise UserError(f"the split {name!r} has no sample", "Raise its fraction or bring more data")
    return dict(sorted(chosen.items()))


def _hashed(split: str, keys: Any) -> tuple[np.ndarray, np.ndarray]:
    """For each key a number in 0..1 that can choose its split, and an integer that can choose its order."""
    digests = b"".join(
        hashlib.sha256(f"{split}/{key}".encode(errors="surrogateescape")).digest()[:16] for key in keys
    )
    hashed = np.frombuffer(digests, ">u8").reshape(-1, 2)
    return hashed[:, 0] / 2.0**64, hashed[:, 1].astype(np.uint64)


class _ShardFiles:
    """The tar files of one split, one after the other."""

    def __init__(self, folder: Path, split: str, max_bytes: int) -> None:
        self._folder = folder
        self._split = split
        self._max_bytes = max_bytes
        self._tar: tarfile.TarFile | None = None
        self._num_records = 0
        self._closed: list[dict[str, Any]] = []
        self._num_samples = 0
        self._spans: Spans = {}

    def add(self, record: Iterator[tuple[str, bytes]], num_samples: int) -> None:
        members = list(record)
        num_bytes = sum(BLOCK + len(content) + -len(content) % BLOCK for _, content in members)
        if self._tar is not None and self._tar.offset + num_bytes > self._max_bytes:
            self.close()
        if self._tar is None:
            path = self._folder / f"{self._split}-{len(self._closed):06d}.tar"
            self._tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 - closed by close()
        for ending, content in members:
            member = tarfile.TarInfo(
                f"{self._num_records:08d}.{ending}"
            )  # no time, no owner: the same bytes always
            member.size = len(content)
            span = (self._tar.offset + BLOCK, len(content))
            self._spans.setdefault(ending.rpartition(".")[0], []).append(span)
            self._tar.addfile(member, io.BytesIO(content))
        self._num_records += 1
        self._num_samples += num_samples

    def close(self) -> list[dict[str, Any]]:
        """Close the open shard; returns the description of all that are closed."""
        if self._tar is not None:
            path = Path(str(self._tar.name))
            self._tar.close()
            self._closed.append({
                "path": path.name,
                "sha256": sha256_of(path),
                "num_samples": self._num_samples,
                "num_bytes": path.stat().st_size,
                "records": to_plain(self._spans),
            })  # fmt: skip
            self._tar = None
            self._num_samples = 0
            self._spans = {}
        return self._closed


@contextmanager
def _named_as_the_user_does(raw: Path, source: dict[str, Any]) -> Iterator[None]:
    """A copy's file is called in errors what it is called where the user can repair it."""
    try:
        yield
    except UserError as error:
        if not source.get("path") or str(raw) not in error.problem:
            raise
        own = error.problem.replace(str(raw), str(Path(source["path"])))
        again = f"Then fetch it again: python -m pipelines.fetch source={source['name']}"
        raise UserError(own, f"{error.hint}. {again}" if error.hint else again) from error


def _read_source(raw: Path, data: DataSettings) -> dict[str, Any]:
    """What was fetched, if it is what the dataset names."""
    again = f"Run `python -m pipelines.fetch source={data.source['name']}`"
    try:
        source = json.loads(read_regular_text(raw / "source.json", links=True))
        mismatch = source["sha256"] != data.source.get("sha256", source["sha256"])
        mismatch |= _pins(source) != _pins(data.source)
    except FileNotFoundError:
        raise UserError(f"{raw} holds no fetched source", again) from None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{raw / 'source.json'} is damaged ({error})", again) from error
    if mismatch:
        raise UserError(f"{raw} holds another content than the source YAML names", again)
    return source


def _pins(source: dict[str, Any]) -> dict[str, str]:
    """The sha256 of each part of a source that has parts."""
    return {part["name"]: part["sha256"] for part in source.get("parts", [])}
