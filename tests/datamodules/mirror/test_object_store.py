"""An object store that fails is asked again, and then it is an error of one line; nothing hangs or lies."""

import asyncio
import time
from collections.abc import Awaitable
from pathlib import Path

import obstore
import pytest

from modules.configuration.errors import UserError
from modules.datamodules.mirror.download import RemoteShard, download, reserve
from modules.datamodules.mirror.object_store import ObjectStore
from modules.datamodules.mirror.patience import Patience
from modules.sources.cache import sha256_of
from tests.object_server import BUCKET, ObjectServer, Proxy

PATIENCE = Patience(stall_s=0.5, attempts=3, first_wait_s=0.01)
CONTENT = bytes(range(256)) * 40_000  # three parts
ADDRESS = f"s3://{BUCKET}/faults"


@pytest.fixture(scope="module")
def shard(object_server: ObjectServer, tmp_path_factory: pytest.TempPathFactory) -> RemoteShard:
    """A file in the store."""
    path = tmp_path_factory.mktemp("shard") / "train-000000.tar"
    path.write_bytes(CONTENT)
    obstore.put(object_server.client(), f"faults/{path.name}", CONTENT)
    return RemoteShard(path.name, sha256_of(path), len(CONTENT))


def fetch(shard: RemoteShard, folder: Path, *addresses: str) -> Path:
    path = folder / "shard"
    reserve(path, shard.num_bytes)
    run(download([ObjectStore(address, PATIENCE) for address in addresses or [ADDRESS]], shard, path))
    return path


def run(work: Awaitable[object]) -> object:
    async def wait() -> object:
        return await work

    return asyncio.run(wait())


@pytest.mark.parametrize("fault", ["", "503", "cut", "stall", "flip"])
def test_a_fault_that_passes_is_got_over(
    fault: str, shard: RemoteShard, proxy: Proxy, tmp_path: Path
) -> None:
    proxy.fault = lambda name, number: fault if number < 2 else ""
    assert fetch(shard, tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("503", r"s3://yard/faults/train-000000\.tar cannot be had after 3 attempts: .*503"),
        ("cut", r"s3://yard/faults/train-000000\.tar cannot be had after 3 attempts: "),
        ("stall", r"cannot be had after 3 attempts: nothing came for 0\.5 s\. Is the store up"),
        ("flip", r"s3://yard/faults/train-000000\.tar is damaged: expected sha256 [0-9a-f]{64}, got"),
    ],
)
def test_a_fault_that_stays_is_told(
    fault: str, message: str, shard: RemoteShard, proxy: Proxy, tmp_path: Path
) -> None:
    proxy.fault = lambda name, number: fault
    begun_s = time.monotonic()
    with pytest.raises(UserError, match=message) as caught:
        fetch(shard, tmp_path)
    assert "\n" not in str(caught.value) and time.monotonic() - begun_s < 60


def test_a_second_mirror_serves_where_the_first_does_not(
    shard: RemoteShard, proxy: Proxy, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / shard.name).write_bytes(CONTENT)
    proxy.fault = lambda name, number: "flip"
    assert fetch(shard, tmp_path, ADDRESS, str(tmp_path / "other")).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("environment", "address", "message"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, ADDRESS, r"refuses .* \(SignatureDoesNotMatch\)\. Set AWS_"),
        ({"AWS_ACCESS_KEY_ID": "unknown"}, ADDRESS, r"refuses .* \(InvalidAccessKeyId\)\. Set AWS_"),
        ({}, "s3://no-such-yard/faults", "s3://no-such-yard/faults: there is no such bucket"),
        ({}, f"s3://{BUCKET}/elsewhere", r"s3://yard/elsewhere holds no train-000000\.tar\. Upload"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}, ADDRESS, "had after 3 attempts: .*sending request"),
        ({}, "/", r"/ holds no train-000000"),
        ({}, "/no/such/folder", "/no/such/folder is no folder"),
    ],
)  # fmt: skip
def test_what_is_wrong_for_good_is_told_at_once(
    environment: dict[str, str],
    address: str,
    message: str,
    shard: RemoteShard,
    proxy: Proxy,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=message):
        fetch(shard, tmp_path, address)
    assert proxy.counts[shard.name] <= 3, "one for each part that is asked for side by side"


def test_a_folder_and_a_web_server_are_mirrors(
    shard: RemoteShard, object_server: ObjectServer, tmp_path: Path
) -> None:
    (tmp_path / shard.name).write_bytes(CONTENT)
    assert fetch(shard, tmp_path, str(tmp_path)).read_bytes() == CONTENT


def test_files_are_written_and_taken_away(proxy: Proxy, tmp_path: Path) -> None:
    for address in (ADDRESS, str(tmp_path / "new" / "folder")):
        store = ObjectStore(address, PATIENCE, make=True)
        assert run(store.size("small")) is None
        run(store.write("small", b"content"))
        assert (run(store.size("small")), run(store.read_all("small"))) == (7, b"content")
        assert bytes(run(store.read("small", 2, 5))) == b"nte"  # pyright: ignore[reportArgumentType]
        run(store.delete("small"))
        assert run(store.size("small")) is None
