"""Samples from a mirror are those of the folder, in any order, through a small cache, by many processes."""

import multiprocessing
import os
import pickle
import re
import shutil
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import DataSettings
from modules.configuration.schema.trainer_settings import OrderSettings
from modules.datamodules import shard_writer
from modules.datamodules.mirror import patience
from modules.datamodules.mirror.mirrored_split import MirroredSplit
from modules.datamodules.mirror.patience import Patience
from modules.datamodules.mirror.upload import upload
from modules.datamodules.shard_loader import EvaluationLoader, TrainingLoader
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_split import ShardSplit
from modules.datamodules.shard_writer import write_shards
from tests.datamodules.numbered import settings, write_raw
from tests.datamodules.ragged_data import MadeReader, ragged_settings
from tests.object_server import BUCKET, Proxy

NUM_SAMPLES = 160
TAR_BYTES = 10_240
ADDRESS = f"s3://{BUCKET}/numbered"
QUARTER = 5 * TAR_BYTES


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 shards of 8 samples, 4 a record."""
    folder = tmp_path_factory.mktemp("mirrored")
    write_raw(folder / "raw", NUM_SAMPLES)
    write_shards(settings(), folder / "raw", folder / "shards" / "numbered", max_shard_bytes=9_000)
    shards = list((folder / "shards" / "numbered").glob("*.tar"))
    assert len(shards) == 20 and {path.stat().st_size for path in shards} == {TAR_BYTES}
    return folder / "shards" / "numbered"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PATIENCE", Patience(stall_s=1, attempts=3, first_wait_s=0.01, full_s=2))


def mirrored(tmp_path: Path, max_bytes: int = QUARTER, **changes: Any) -> DataSettings:
    data = settings()
    return replace(
        data, mirror=ADDRESS, cache_dir=str(tmp_path / "cache"), cache_gib=max_bytes / 2**30, **changes
    )


@pytest.fixture
def opened(folder: Path, proxy: Proxy, tmp_path: Path) -> Callable[..., MirroredSplit]:
    """Opens the split of a mirror, in a folder that holds nothing."""
    upload(folder, ADDRESS)
    proxy.counts.clear()

    def open_split(max_bytes: int = QUARTER) -> MirroredSplit:
        split = ShardSet.open(tmp_path / "shards" / "numbered", mirrored(tmp_path, max_bytes)).split("train")
        assert isinstance(split, MirroredSplit)
        return split

    return open_split


def cached(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache").glob("*.tar"))


def same(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return set(first) == set(second) and all(np.array_equal(first[name], second[name]) for name in first)


def fetches(proxy: Proxy) -> dict[str, int]:
    return {name: count for name, count in proxy.counts.items() if name.endswith(".tar")}


def test_samples_are_those_of_the_folder(
    opened: Callable[..., MirroredSplit], folder: Path, tmp_path: Path
) -> None:
    split, local = opened(), ShardSet.open(folder).split("train")
    rng = np.random.default_rng(0)
    for _ in range(15):
        shards = rng.choice(20, 4, replace=False)
        numbers = (shards[:, None] * 8 + rng.integers(0, 8, (4, 5))).ravel()
        assert same(split.read(numbers), local.read(numbers))
        assert sum(path.stat().st_size for path in cached(tmp_path)) <= QUARTER
    assert split.bytes_fetched >= 15 * TAR_BYTES


class Ranges(SimpleHTTPRequestHandler):
    """A web server that gives parts of files, as those do that serve shards."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            return self.send_error(404)
        content, asked = path.read_bytes(), re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        start, stop = (0, len(content)) if asked is None else (int(asked[1]), int(asked[2]) + 1)
        self.send_response(200 if asked is None else 206)
        self.send_header("Content-Length", str(len(content[start:stop])))
        if asked is not None:
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}")
        self.end_headers()
        self.wfile.write(content[start:stop])
        return None

    def log_message(self, format: str, *arguments: Any) -> None:
        """Says nothing."""


def test_a_web_server_is_a_mirror(folder: Path, tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Ranges, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        data = replace(mirrored(tmp_path), mirror=f"http://127.0.0.1:{server.server_port}")
        split = ShardSet.open(tmp_path / "shards" / "numbered", data).split("train")
        numbers = np.random.default_rng(0).permutation(NUM_SAMPLES)
        assert same(split.read(numbers), ShardSet.open(folder).split("train").read(numbers))
        assert split.bytes_fetched >= 15 * TAR_BYTES
        wrong = replace(data, mirror=f"{data.mirror}/nothing")
        with pytest.raises(UserError, match=r"/nothing holds no shards\.json"):
            ShardSet.open(tmp_path / "wrong" / "numbered", wrong)
        server.shutdown()


def test_more_shards_at_once_than_the_cache_holds_are_read_all_the_same(
    opened: Callable[..., MirroredSplit], folder: Path, tmp_path: Path
) -> None:
    numbers = np.random.default_rng(0).permutation(NUM_SAMPLES)
    assert same(opened().read(numbers), ShardSet.open(folder).split("train").read(numbers))
    assert sum(path.stat().st_size for path in cached(tmp_path)) <= QUARTER


def test_what_lies_in_the_folder_is_not_fetched(
    opened: Callable[..., MirroredSplit], folder: Path, proxy: Proxy, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "shards" / "numbered")
    missing = tmp_path / "shards" / "numbered" / "train-000003.tar"
    missing.unlink()
    numbers = np.arange(NUM_SAMPLES)
    assert same(opened().read(numbers), ShardSet.open(folder).split("train").read(numbers))
    assert set(fetches(proxy)) == {missing.name}
    shutil.copy(folder / missing.name, missing)
    whole = ShardSet.open(missing.parent, mirrored(tmp_path)).split("train")
    assert not isinstance(whole, MirroredSplit)


def test_a_pass_in_order_fetches_each_shard_once(
    opened: Callable[..., MirroredSplit], folder: Path, proxy: Proxy
) -> None:
    split = opened()
    batches = [batch["index"].tolist() for batch in EvaluationLoader(split, 7)]
    local = ShardSet.open(folder).split("train")
    assert batches == [batch["index"].tolist() for batch in EvaluationLoader(local, 7)]
    assert set(fetches(proxy).values()) == {1} and split.bytes_fetched == 20 * TAR_BYTES


@pytest.mark.parametrize("kind", ["shuffled", "bucketed"])
@pytest.mark.parametrize("samples_per_record", [1, 3])
def test_ragged_samples_too(
    kind: Any, samples_per_record: int, proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_writer, "build", lambda node: MadeReader(60))
    write_raw(tmp_path / "raw", 1)
    data = ragged_settings(samples_per_record=samples_per_record)
    folder = tmp_path / "local" / "numbered"
    write_shards(data, tmp_path / "raw", folder, max_shard_bytes=50_000)
    upload(folder, f"{ADDRESS}-ragged-{samples_per_record}")
    local = ShardSet.open(folder).split("train")
    sizes = [shard.num_bytes for shard in local.shards]
    assert len(sizes) > 5
    away = replace(
        data,
        mirror=f"{ADDRESS}-ragged-{samples_per_record}",
        cache_dir=str(tmp_path / "cache"),
        cache_gib=4 * max(sizes) / 2**30,
    )
    split = ShardSet.open(tmp_path / "shards" / "numbered", away).split("train")
    order = OrderSettings(kind, window_shards=2)
    blocks = zip(*(TrainingLoader(one, 4, 2, 1, order=order) for one in (local, split)), strict=True)
    for first, second in blocks:
        assert set(first) == set(second)
        for name in first:
            pairs = zip(first[name], second[name], strict=True)
            assert all(np.array_equal(one, other) for one, other in pairs)
    assert np.array_equal(local.sizes("image"), split.sizes("image"))


def places(split: ShardSplit, epochs: int, **keywords: Any) -> list[list[int]]:
    loader = TrainingLoader(split, 8, 2, 3, order=OrderSettings(window_shards=2), **keywords)
    return [block["image"][..., 0, :4].ravel().tolist() for _ in range(epochs) for block in loader]


def test_training_orders_are_the_same_and_windows_are_fetched_once_an_epoch(
    opened: Callable[..., MirroredSplit], folder: Path, proxy: Proxy
) -> None:
    local = ShardSet.open(folder).split("train")
    assert places(opened(), 2) == places(local, 2)
    # Of the 20 shards the cache holds 5; at the end of the second epoch it may hold those of a third.
    counts = list(fetches(proxy).values())
    assert max(counts) <= 3 and counts.count(3) < 5 and sum(counts) <= 40


def test_workers_share_the_cache(
    opened: Callable[..., MirroredSplit], folder: Path, proxy: Proxy, tmp_path: Path
) -> None:
    split = opened(8 * TAR_BYTES)
    split.read(np.arange(3))  # the process that forks has a fetching process of its own
    assert places(split, 2, num_workers=2) == places(ShardSet.open(folder).split("train"), 2)
    assert 20 * TAR_BYTES <= split.bytes_fetched <= sum(fetches(proxy).values()) * TAR_BYTES
    assert sum(path.stat().st_size for path in cached(tmp_path)) <= 8 * TAR_BYTES


def _read(split: MirroredSplit, numbers: np.ndarray, start: Any, answers: Any) -> None:
    start.wait()
    answers.put(split.read(numbers)["index"].tolist())
    split.mirror.close()


def test_processes_do_not_fetch_twice(
    opened: Callable[..., MirroredSplit], folder: Path, proxy: Proxy
) -> None:
    split, numbers = opened(20 * TAR_BYTES), np.arange(NUM_SAMPLES)
    context = multiprocessing.get_context("fork")
    start, answers = context.Event(), context.Queue()
    readers = [context.Process(target=_read, args=(split, numbers, start, answers)) for _ in range(3)]
    for reader in readers:
        reader.start()
    start.set()
    expected = ShardSet.open(folder).split("train").read(numbers)["index"].tolist()
    assert [answers.get(timeout=60) for _ in readers] == [expected] * 3
    for reader in readers:
        reader.join()
    assert set(fetches(proxy).values()) == {1} and len(fetches(proxy)) == 20


def test_it_travels_to_other_processes(opened: Callable[..., MirroredSplit]) -> None:
    split = opened()
    before = split.read(np.arange(20))
    copy = pickle.loads(pickle.dumps(split))  # noqa: S301 - our own
    assert same(copy.read(np.arange(20)), before)


def test_a_shard_that_the_disk_has_changed_is_fetched_again(
    opened: Callable[..., MirroredSplit], folder: Path, proxy: Proxy, tmp_path: Path
) -> None:
    opened().read(np.arange(8))
    (path,) = [path for path in cached(tmp_path) if path.stem == opened().shards[0].sha256]
    content = bytearray(path.read_bytes())
    content[600] ^= 1
    path.write_bytes(content)
    assert same(opened().read(np.arange(8)), ShardSet.open(folder).split("train").read(np.arange(8)))
    assert fetches(proxy)["train-000000.tar"] == 2


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("503", "503"),
        ("cut", "after 3 attempts"),
        ("stall", "nothing came for 1 s"),
        ("flip", "is damaged: exp"),
    ],
)
def test_a_mirror_that_fails_is_one_line_and_leaves_nothing(
    fault: str, message: str, opened: Callable[..., MirroredSplit], proxy: Proxy, tmp_path: Path
) -> None:
    split = opened()
    proxy.fault = lambda name, number: fault if name.endswith(".tar") else ""
    with pytest.raises(UserError, match=message) as caught:
        split.read(np.arange(8))
    assert "\n" not in str(caught.value) and not cached(tmp_path)
    proxy.fault = lambda name, number: ""
    assert len(split.read(np.arange(8))["index"]) == 8, "once the mirror is up again, it goes on"


def test_a_fetching_process_that_dies_in_the_middle_leaves_nothing_whole(
    opened: Callable[..., MirroredSplit], folder: Path, proxy: Proxy, tmp_path: Path
) -> None:
    split = opened()
    split.expect(lambda: np.arange(8))  # nothing comes unasked
    split.read(np.arange(8))
    pid = split.mirror.process_id
    assert pid is not None

    def kill(name: str, number: int) -> str:
        os.kill(pid, signal.SIGKILL)
        return "stall"

    proxy.fault = kill
    numbers = np.arange(80, 88)
    wanted = split.shards[10].sha256
    with pytest.raises(UserError, match="the process that fetches shards has died"):
        split.read(numbers)
    assert [path.stem for path in (tmp_path / "cache").glob("*.partial")] == [wanted]
    assert [path.stem for path in cached(tmp_path)] == [split.shards[0].sha256]
    proxy.fault = lambda name, number: ""
    assert same(split.read(numbers), ShardSet.open(folder).split("train").read(numbers))
    assert (tmp_path / "cache" / f"{wanted}.tar").read_bytes() == (folder / "train-000010.tar").read_bytes()


def test_no_set_is_read_where_there_is_none(proxy: Proxy, tmp_path: Path) -> None:
    data = replace(mirrored(tmp_path), mirror=f"s3://{BUCKET}/nothing")
    with pytest.raises(UserError, match=r"s3://yard/nothing holds no shards\.json"):
        ShardSet.open(tmp_path / "shards" / "numbered", data)
    assert not list((tmp_path / "shards" / "numbered").iterdir())
