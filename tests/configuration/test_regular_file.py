"""Only a regular file is opened: nothing waits for a FIFO, and no link leads elsewhere."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from modules.configuration.errors import UserError
from modules.configuration.plans.identity import shard_hashes
from modules.configuration.regular_file import read_regular, read_regular_text
from modules.datamodules.formats.clip_folder import read_clip
from modules.datamodules.formats.sound_folder import read_sound
from modules.datamodules.formats.text_files import read_text
from modules.datamodules.image_file import read_image
from modules.datamodules.samples import raw_path
from modules.datamodules.shard_set import ShardSet
from modules.registry.outcome import file_hash
from modules.registry.program_archive import read_vetted
from modules.report.files import read_json
from modules.sweeps.control.ledger import read_events as read_ledger
from modules.tracking.spool import read_events
from modules.training.runs.run_folder import RunFolder


def test_what_stands_in_a_files_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("abc")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    (tmp_path / "device").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "fifo")
    assert read_regular(tmp_path / "file") == b"abc"
    assert read_regular_text(tmp_path / "link", links=True) == "abc"
    for name, links, kind in (
        ("link", False, "a link"),
        ("device", True, "a device"),
        ("fifo", False, "a FIFO"),
        ("fifo", True, "a FIFO"),
        (".", True, "a folder"),
    ):
        with pytest.raises(UserError, match=f"is {kind}, not a regular file"):
            read_regular(tmp_path / name, links=links)
    with pytest.raises(UserError, match="is larger than 2 bytes"):
        read_regular(tmp_path / "file", 2)


@pytest.mark.parametrize("read", [read_vetted, read_json, lambda path: ShardSet.open(path.parent)])
def test_no_reader_waits_for_a_fifo(read: Callable[[Path], object], tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "shards.json")
    with pytest.raises(UserError, match="is a FIFO"):
        read(tmp_path / "shards.json")
    assert RunFolder(tmp_path).read("shards.json") is None


READERS: dict[str, Callable[[Path], object]] = {
    "image.png": lambda path: read_image(path, 1, 8, 8),
    "clip.gif": lambda path: read_clip(path, 1, 8, 8),
    "sound.wav": lambda path: read_sound(path, 8000),
    "text.txt": read_text,
    "data.idx": lambda path: raw_path(path.parent, path.name),
    "ledger.jsonl": read_ledger,
    "events.jsonl": lambda path: list(read_events(path)),
    "weights.pt": file_hash,
    "provenance.json": lambda path: shard_hashes(linked(path, "shards.json").parent),
}


def linked(path: Path, name: str) -> Path:
    (path.parent / name).symlink_to(path)
    return path.parent / name


@pytest.mark.parametrize("name", READERS)
def test_no_reader_of_one_file_waits_either(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match=r"is a FIFO"):
        READERS[name](tmp_path / name)
