"""Only a regular file is opened: nothing waits for a FIFO, and no link leads elsewhere."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from modules.configuration.errors import UserError
from modules.configuration.regular_file import read_regular, read_regular_text
from modules.datamodules.shard_set import ShardSet
from modules.registry.program_archive import read_vetted
from modules.report.files import read_json
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
