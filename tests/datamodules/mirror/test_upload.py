"""Shards go up once, shards.json last; a mirror never shows half a set, and what it holds is read back."""

import json
import shutil
from pathlib import Path

import obstore
import pytest

from modules.configuration.errors import UserError
from modules.configuration.plans.identity import shard_hashes
from modules.datamodules.mirror import upload as upload_module
from modules.datamodules.mirror.patience import Patience
from modules.datamodules.mirror.upload import upload
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_writer import write_shards
from pipelines import shard as verb
from tests.datamodules.numbered import settings, write_raw
from tests.object_server import BUCKET, ObjectServer, Proxy


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """4 shards."""
    patience = Patience(stall_s=1, attempts=2, first_wait_s=0.01)
    monkeypatch.setattr(upload_module, "PATIENCE", patience)
    write_raw(tmp_path / "raw", 32)
    write_shards(settings(), tmp_path / "raw", tmp_path / "numbered", max_shard_bytes=9_000)
    return tmp_path / "numbered"


@pytest.fixture
def address(request: pytest.FixtureRequest) -> str:
    return f"s3://{BUCKET}/{request.node.name}"


def held(server: ObjectServer, address: str) -> set[str]:
    prefix = address.removeprefix(f"s3://{BUCKET}/")
    files = [one for some in obstore.list(server.client(), prefix) for one in some]
    return {one["path"].rpartition("/")[2] for one in files}


def test_what_is_there_is_not_sent_again(
    folder: Path, address: str, proxy: Proxy, object_server: ObjectServer
) -> None:
    first = upload(folder, address)
    assert (first.num_shards, first.num_sent, first.num_bytes) == (4, 4, 4 * 10_240)
    assert held(object_server, address) == {path.name for path in folder.iterdir()}
    assert upload(folder, address).num_sent == 0
    prefix = address.removeprefix(f"s3://{BUCKET}/")
    obstore.delete(object_server.client(), f"{prefix}/train-000001.tar")
    damaged = bytes(10_240)
    obstore.put(object_server.client(), f"{prefix}/train-000002.tar", damaged)
    assert upload(folder, address).num_sent == 2
    content = obstore.get(object_server.client(), f"{prefix}/train-000002.tar").bytes()
    assert bytes(content) == (folder / "train-000002.tar").read_bytes()


def test_the_mirror_says_where_it_lies_and_holds_the_same_data(
    folder: Path, address: str, proxy: Proxy, tmp_path: Path
) -> None:
    upload(folder, address)
    upload(folder, str(tmp_path / "copy" / "numbered"))
    copied = json.loads((tmp_path / "copy" / "numbered" / "shards.json").read_text())
    assert copied["mirrors"] == [str(tmp_path / "copy" / "numbered")]
    assert shard_hashes(tmp_path / "copy" / "numbered") == shard_hashes(folder)
    assert json.loads((folder / "shards.json").read_text())["mirrors"] == []
    assert ShardSet.open(tmp_path / "copy" / "numbered").split("train").num_samples == 32


def test_an_interrupted_upload_shows_no_set(
    folder: Path, address: str, proxy: Proxy, object_server: ObjectServer
) -> None:
    proxy.fault = lambda name, number: "503" if name == "train-000002.tar" else ""
    with pytest.raises(UserError, match=r"train-000002\.tar cannot be had after 2 attempts: .*503"):
        upload(folder, address)
    assert "shards.json" not in held(object_server, address)
    proxy.fault = lambda name, number: ""
    assert upload(folder, address).num_shards == 4
    assert "shards.json" in held(object_server, address)


def test_other_shards_take_the_place_of_a_set_only_when_whole(
    folder: Path, address: str, proxy: Proxy, object_server: ObjectServer, tmp_path: Path
) -> None:
    upload(folder, address)
    write_raw(tmp_path / "raw", 48)
    write_shards(settings(), tmp_path / "raw", folder, max_shard_bytes=9_000)
    proxy.fault = lambda name, number: "503" if name == "train-000005.tar" else ""
    with pytest.raises(UserError, match=r"train-000005\.tar"):
        upload(folder, address)
    assert "shards.json" not in held(object_server, address)
    proxy.fault = lambda name, number: ""
    assert upload(folder, address).num_shards == 6


def test_what_is_flipped_on_the_way_back_is_found(folder: Path, address: str, proxy: Proxy) -> None:
    proxy.fault = lambda name, number: "flip" if name == "train-000002.tar" else ""
    with pytest.raises(UserError, match=r"train-000002\.tar is another than was sent"):
        upload(folder, address)


def test_damaged_and_missing_shards_are_not_sent(folder: Path, address: str, proxy: Proxy) -> None:
    path = folder / "train-000001.tar"
    content = bytearray(path.read_bytes())
    content[700] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"train-000001\.tar is missing or damaged.*Make the shards again"):
        upload(folder, address)
    path.unlink()
    with pytest.raises(UserError, match=r"train-000001\.tar is missing or damaged"):
        upload(folder, address)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("https://example.org/x", "is a web server, which takes no files"),
        ("ftp://example.org/x", "is of no kind that can be read"),
        ("s3://", "has no bucket"),
        ("s3://key:secret@bucket/x", "holds a name or password"),
    ],
)
def test_addresses_that_take_nothing_are_refused(folder: Path, address: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        upload(folder, address)


def test_the_verb_uploads(
    folder: Path, address: str, proxy: Proxy, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    shutil.move(folder, tmp_path / "parity")
    change = {"dataset": "parity"} | json.loads((tmp_path / "parity" / "shards.json").read_text())
    (tmp_path / "parity" / "shards.json").write_text(json.dumps(change))
    verb.main(["dataset=parity", f"data={tmp_path}", f"upload={address}"])
    assert f"parity: 4 shards in {address}, read back and right; 4 of them sent" in capsys.readouterr().out
