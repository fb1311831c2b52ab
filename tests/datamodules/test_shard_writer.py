"""Shards hold every sample once, in bytes that never vary, and replace the old ones in one step."""

import gc
import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from webdataset.compat import WebDataset

from modules.configuration.errors import UserError
from modules.datamodules.samples import ArraySamples
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.shard_writer import split_samples, write_shards
from modules.sources.cache import sha256_of
from tests.datamodules.numbered import FIELDS, numbers_of, settings, write_raw

HERE = Path(__file__).parent
CUTS = {"validation": {"from": "train", "fraction": 0.2}, "test": {"from": "train", "fraction": 0.3}}


def files_of(folder: Path) -> dict[str, str]:
    return {path.name: sha256_of(path) for path in folder.iterdir()}


def test_every_sample_lies_in_one_split(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw", 500)
    data = settings(splits=CUTS, samples_per_record=7)
    written = write_shards(data, tmp_path / "raw", tmp_path / "out", max_shard_bytes=20_000)
    found = ShardSet.open(tmp_path / "out", data)
    everything = []
    for name, split in found.splits.items():
        assert len(split.shards) > 1 and split.num_samples == written["splits"][name]["num_samples"]
        samples = split.read(np.arange(split.num_samples))
        assert numbers_of(samples["image"]) == samples["index"].tolist()
        assert (samples["index"] % 3 == samples["label"]).all()
        everything += samples["index"].tolist()
    assert sorted(everything) == list(range(500))
    assert all(
        shard.num_bytes <= 20_000 + 10_240 for split in found.splits.values() for shard in split.shards
    )
    assert found.hashes().keys() | {"shards.json"} == files_of(tmp_path / "out").keys()
    assert all(files_of(tmp_path / "out")[name] == sha256 for name, sha256 in found.hashes().items())
    assert written["splits"]["test"]["from"] == "train" and found.licence == "CC0"


def test_bytes_depend_on_the_data_alone(tmp_path: Path) -> None:
    data = settings(splits=CUTS)
    write_raw(tmp_path / "raw", 100)
    write_shards(data, tmp_path / "raw", tmp_path / "first")
    write_raw(tmp_path / "elsewhere", 100)
    os.utime(tmp_path / "elsewhere" / "images.idx", (0, 0))
    write_shards(data, tmp_path / "elsewhere", tmp_path / "other")
    assert files_of(tmp_path / "first") == files_of(tmp_path / "other")


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # webdataset leaves the files open
def test_plain_webdataset_reads_them(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw", 50)
    write_shards(settings(), tmp_path / "raw", tmp_path / "out", max_shard_bytes=20_000)
    shards = sorted(map(str, (tmp_path / "out").glob("*.tar")))
    assert len(shards) > 1
    decoded: Any = WebDataset(shards, shardshuffle=False).decode()  # annotated as the mixin alone
    records = list(decoded)
    gc.collect()
    numbers = [number for record in records for number in numbers_of(record["image.npy"])]
    assert sorted(numbers) == list(range(50))
    assert numbers == [number for record in records for number in record["index.npy"].tolist()]
    assert len({record["__key__"] for record in records}) == len(records) == 13


def test_a_split_is_drawn_by_the_key_for_ever() -> None:
    def splits(num_samples: int) -> dict[str, set[int]]:
        keys = [f"{number}.png" for number in range(num_samples)]
        cut = split_samples({"train": ArraySamples(keys, {})}, settings(splits=CUTS).splits)
        return {name: set(numbers.tolist()) for name, (_, numbers) in cut.items()}

    few, many = splits(10_000), splits(20_000)
    assert all(few[name] <= many[name] for name in few), "new samples move old ones"
    assert {name: round(len(numbers) / 20_000, 1) for name, numbers in many.items()} == {
        "train": 0.5, "validation": 0.2, "test": 0.3,
    }  # fmt: skip
    assert sorted(few["test"])[:4] == [0, 4, 7, 9], "the draw has changed: every dataset's splits move"


def test_records_are_a_fair_sample_of_sorted_data(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw", 4000)
    write_shards(settings(samples_per_record=500), tmp_path / "raw", tmp_path / "out")
    split = ShardSet.open(tmp_path / "out").split("train")
    means = [split.read(np.arange(start, start + 500))["index"].mean() for start in range(0, 4000, 500)]
    assert all(1800 < mean < 2200 for mean in means), means


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"splits": {"dev": {"from": "trian", "fraction": 0.1}}}, "splits.dev is cut from 'trian'"),
        ({"splits": {"train": {"from": "train", "fraction": 0.1}}}, "splits.train is cut from 'train'"),
        ({"splits": {"dev": {"from": "train", "fraction": 0.001}}}, "the split 'dev' has no sample"),
        (
            {"splits": {name: {"from": "train", "fraction": 0.5} for name in ("a", "b")}},
            "take all of it",
        ),
    ],
)
def test_impossible_splits_are_refused(tmp_path: Path, changes: dict, message: str) -> None:
    write_raw(tmp_path / "raw", 20)
    with pytest.raises(UserError, match=message):
        write_shards(settings(**changes), tmp_path / "raw", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"image": FIELDS["image"] | {"shape": [1, 2, 2]}}, "The field 'image' says"),
        ({"label": FIELDS["label"] | {"classes": ["a", "b"]}}, "holds the class number 2, outside 0..1"),
        (
            {"label": FIELDS["label"] | {"classes": ["a", "b", "c", "d"]}},
            "the split 'train' has no sample of the class 'd' of the field 'label'.*fields.label.classes",
        ),
        ({"image": FIELDS["image"] | {"encoding": "png"}}, "samples_per_record"),
        ({"weight": FIELDS["label"]}, "the reader gives the fields"),
        ({"index": FIELDS["label"]}, "Give the field another name"),
    ],
)
def test_samples_unlike_the_yaml_are_refused(tmp_path: Path, fields: dict, message: str) -> None:
    write_raw(tmp_path / "raw", 20)
    with pytest.raises(UserError, match=message):
        write_shards(settings(fields=FIELDS | fields), tmp_path / "raw", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_source_that_was_not_fetched_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"Run `python -m pipelines\.fetch source=raw`"):
        write_shards(settings(), tmp_path / "raw", tmp_path / "out")


def test_a_source_of_other_parts_is_named(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw", 9)
    path = tmp_path / "raw" / "source.json"
    parts = [{"name": "one", "sha256": "1" * 64, "licence": "MIT"}]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"parts": parts}))
    source = {"_target_": "modules.sources.several.Several", "name": "raw", "parts": parts}
    written = write_shards(replace(settings(), source=source), tmp_path / "raw", tmp_path / "out")
    assert written["source"]["parts"] == parts
    newer = source | {"parts": [parts[0] | {"sha256": "2" * 64}]}
    with pytest.raises(
        UserError, match=r"raw holds another content than the source YAML names.*fetch source"
    ):
        write_shards(replace(settings(), source=newer), tmp_path / "raw", tmp_path / "out")


WRITE = """
import sys
sys.path.insert(0, {root!r})
from pathlib import Path
from typing import Any
from tests.datamodules.numbered import settings
from modules.datamodules.shard_writer import write_shards
print("ready", flush=True)
write_shards(settings(samples_per_record=2), Path(sys.argv[1]), Path(sys.argv[2]), max_shard_bytes=40_000)
"""


@contextmanager
def writer(raw: Path, out: Path, before: str = "") -> Iterator[subprocess.Popen]:
    """A process that is about to write shards."""
    code = before + WRITE.format(root=str(HERE.parents[1]))
    command = [sys.executable, "-c", code, str(raw), str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        yield process


@pytest.mark.slow
def test_a_kill_at_any_moment_leaves_one_whole_set(tmp_path: Path) -> None:
    sizes = {"old": 600, "new": 900}
    for name, num_samples in sizes.items():
        write_raw(tmp_path / name, num_samples)
    out = tmp_path / "out"
    with writer(tmp_path / "old", out) as process:
        start = time.monotonic()
        assert process.wait() == 0
        duration = time.monotonic() - start
    drawn = random.Random(0)
    standing, seen = "old", set()
    for turn in range(12):
        name = ("new", "old")[turn % 2]
        with writer(tmp_path / name, out) as process:
            time.sleep(drawn.uniform(0, 1.2 * duration))
            process.kill()
            killed = process.wait() == -signal.SIGKILL
        split = ShardSet.open(out).split("train")
        if split.num_samples == sizes[name]:
            standing = name
        seen.add((killed, standing == name))
        assert split.num_samples == sizes[standing]
        samples = split.read(np.arange(split.num_samples))  # checks every hash
        assert sorted(numbers_of(samples["image"])) == list(range(sizes[standing]))
    assert (True, False) in seen, "no kill hit the writing"
    with writer(tmp_path / "new", out) as process:
        assert process.wait() == 0
    assert ShardSet.open(out).split("train").num_samples == sizes["new"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [".out.lock", "new", "old", "out"]


def test_two_writers_take_turns(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw", 600)
    with ExitStack() as stack:
        processes = [stack.enter_context(writer(tmp_path / "raw", tmp_path / "out")) for _ in range(3)]
        assert [process.wait() for process in processes] == [0, 0, 0]
    assert ShardSet.open(tmp_path / "out").split("train").num_samples == 600


def test_a_full_disk_is_one_line_and_keeps_the_old_set(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw", 600)
    write_shards(settings(), tmp_path / "raw", tmp_path / "out")
    before = files_of(tmp_path / "out")
    # The kernel refuses to write beyond this size, as it does on a full disk.
    limit = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN); "
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, {resource.RLIM_INFINITY}))\n"
    )
    with writer(tmp_path / "raw", tmp_path / "out", before=limit) as process:
        _, errors = process.communicate()
    assert process.returncode != 0
    assert errors.strip().splitlines()[-1].startswith("modules.configuration.errors.UserError: can't write")
    assert files_of(tmp_path / "out") == before
    assert not (tmp_path / ".out.partial").exists()


def test_a_folder_that_may_not_be_written_is_one_line(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw", 20)
    with pytest.raises(UserError, match="can't write /sys/"):
        write_shards(settings(), tmp_path / "raw", Path("/sys/shards"))


def test_shards_json_is_plain(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw", 20)
    written = write_shards(settings(), tmp_path / "raw", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "shards.json").read_text()) == written
    assert written["fields"]["image"]["axes"] == ["channel", "height", "width"]
    assert written["splits"]["train"]["samples_per_record"] == 4


def test_a_copied_file_is_named_as_the_user_knows_it(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw", 9)
    (tmp_path / "raw" / "labels.idx").write_bytes(b"no idx")
    data = replace(settings(), source=settings().source | {"path": "~/mine"})
    with pytest.raises(UserError, match=r"^~/mine/labels\.idx is no idx file.*fetch source=raw$"):
        write_shards(data, tmp_path / "raw", tmp_path / "out")


def test_a_linked_folder_stays_a_link(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw", 20)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").symlink_to(tmp_path / "elsewhere" / "out")
    # What a link in this place left of an earlier try.
    (tmp_path / "elsewhere" / ".out.partial").symlink_to(tmp_path / "nowhere")
    for num_samples in (20, 30):
        write_raw(tmp_path / "raw", num_samples)
        write_shards(settings(), tmp_path / "raw", tmp_path / "out")
        assert ShardSet.open(tmp_path / "elsewhere" / "out").split("train").num_samples == num_samples
    assert (tmp_path / "out").is_symlink()
    assert sorted(path.name for path in (tmp_path / "elsewhere").iterdir()) == [".out.lock", "out"]
