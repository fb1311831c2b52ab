"""Where records lie, by shards.json and by the headers, is the same; what cannot be is refused."""

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.configuration.errors import UserError
from modules.configuration.plans.identity import shard_hashes
from modules.datamodules import shard_writer
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_writer import index_text, write_shards
from tests.datamodules.numbered import settings, write_raw
from tests.datamodules.ragged_data import MadeReader, ragged_settings

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The shards of 6 samples, 3 a record."""
    write_raw(tmp_path / "raw", 6)
    write_shards(settings(samples_per_record=3), tmp_path / "raw", tmp_path / "numbered")
    return tmp_path / "numbered"


def change(folder: Path, how: Change) -> None:
    path = folder / "shards.json"
    described = json.loads(path.read_text())
    how(described)
    path.write_text(json.dumps(described))


def as_format_1(described: dict[str, Any]) -> None:
    """As shards.json was written before."""
    described["format"] = 1
    del described["mirrors"]
    for split in described["splits"].values():
        for shard in split["shards"]:
            del shard["records"]


def read_all(folder: Path) -> dict[str, np.ndarray]:
    split = ShardSet.open(folder).split("train")
    return split.read(np.arange(split.num_samples))


def test_the_places_are_those_that_a_tar_reader_finds(folder: Path) -> None:
    (shard,) = json.loads((folder / "shards.json").read_text())["splits"]["train"]["shards"]
    with tarfile.open(folder / shard["path"]) as tar:
        for member in tar:
            record, field, _ = member.name.split(".")
            places = shard["records"][field]
            found = places["start"][int(record)], places["num_bytes"][int(record)]
            assert found == (member.offset_data, member.size)


def test_format_1_is_read_and_is_the_same_data(folder: Path) -> None:
    new, hashes = read_all(folder), shard_hashes(folder)
    change(folder, as_format_1)
    old = read_all(folder)
    assert all((old[name] == new[name]).all() for name in old) and set(old) == set(new)
    assert shard_hashes(folder) == hashes


def test_ragged_data_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shard_writer, "build", lambda node: MadeReader(10))
    write_raw(tmp_path / "raw", 1)
    write_shards(ragged_settings(), tmp_path / "raw", tmp_path / "ragged")
    new = read_all(tmp_path / "ragged")
    change(tmp_path / "ragged", as_format_1)
    old = read_all(tmp_path / "ragged")
    assert all((old[name] == new[name]).all() for name in old) and set(old) == set(new)


def _records(described: dict[str, Any]) -> dict[str, Any]:
    return described["splits"]["train"]["shards"][0]["records"]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (lambda all_: _records(all_).pop("label"), "records are of 'image', 'index', not"),
        (lambda all_: _records(all_)["image"]["start"].pop(), "not 2 places of records of 'image'"),
        (lambda all_: _records(all_)["image"].update(num_bytes=[1, True]), "not 2 places"),
        (lambda all_: _records(all_)["image"].update(start=[512, 2**70]), "lies outside its file"),
        (lambda all_: _records(all_)["image"].update(start=[512, -(2**70)]), "lies outside its file"),
        (lambda all_: _records(all_)["image"].update(num_bytes=[-1, 146]), "lies outside its file"),
        (lambda all_: _records(all_)["image"].update(start=[512, 0]), "lies where none can lie"),
        (lambda all_: _records(all_)["image"].update(num_bytes=[146, 0]), "lies where none can lie"),
        (lambda all_: _records(all_)["image"].update(start=[513, 5120]), "lies where none can lie"),
        (lambda all_: _records(all_)["image"].update(num_bytes=[600, 146]), "lie in one another"),
        (lambda all_: _records(all_)["image"].update(start=[512, 10240]), "lie in one another, or beyond"),
        (lambda all_: _records(all_)["image"].update(num_bytes=[2**62, 146]), "lies outside its file"),
        (lambda all_: _records(all_).update(image=3), "damaged"),
        (lambda all_: all_["splits"]["train"]["shards"][0].pop("records"), "damaged"),
    ],
)  # fmt: skip
def test_places_that_cannot_be_are_refused(folder: Path, how: Change, message: str) -> None:
    change(folder, how)
    with pytest.raises(UserError, match=f"shards.json.*{message}.*Make them"):
        ShardSet.open(folder)


def test_the_place_of_another_field_is_refused(folder: Path) -> None:
    def swap(described: dict[str, Any]) -> None:
        records = _records(described)
        records["image"], records["label"] = records["label"], records["image"]

    change(folder, swap)
    with pytest.raises(UserError, match=r"holds the field 'image' as int64"):
        read_all(folder)


LEAVES = st.integers() | st.text() | st.none()


@given(st.recursive(LEAVES, lambda some: st.lists(some) | st.dictionaries(st.text(), some)))
def test_the_text_of_shards_json_says_what_it_is_given(content: Any) -> None:
    assert json.loads(index_text({"a": content})) == {"a": content}
