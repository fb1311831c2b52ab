"""`python -m pipelines.shard` as a user meets it, and the yard's own datasets."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from modules.datamodules.shard_set import ShardSet
from pipelines.shard import _fetch_what_is_new

ROOT = Path(__file__).parents[2]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipelines.shard", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture
def dataset(tmp_path: Path) -> dict[str, Any]:
    """A fetched folder of images and the plan of its dataset."""
    for number in range(40):
        folder = tmp_path / "raw/pets" / ("cat", "dog")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (20, 30), (number, 0, 0)).save(folder / f"{number}.png")
    record = {"name": "pets", "sha256": "", "licence": "CC0-1.0", "files": {}}
    (tmp_path / "raw/pets/source.json").write_text(json.dumps(record))
    source = {
        "_target_": "modules.sources.local_folder.LocalFolder",
        "name": "pets",
        "path": "x",
        "licence": "CC0-1.0",
    }
    image = {"dtype": "uint8", "shape": [3, 8, 8], "axes": ["channel", "height", "width"], "units": "level"}
    label = {"dtype": "int64", "shape": [], "axes": [], "units": "class", "classes": ["cat", "dog"]}
    return {
        "name": "pets",
        "title": "Pets",
        "source": source,
        "reader": {"_target_": "modules.datamodules.formats.image_folder.ImageFolderReader"},
        "fields": {"image": image, "label": label},
        "splits": {"test": {"from": "train", "fraction": 0.25}},
        "samples_per_record": 8,
        "code": {"fingerprint": "0"},
    }


def arguments(tmp_path: Path, dataset: dict[str, Any]) -> list[str]:
    (tmp_path / "plan.yaml").write_text(yaml.safe_dump(dataset))
    return [f"plan={tmp_path / 'plan.yaml'}", f"raw={tmp_path / 'raw'}", f"data={tmp_path / 'shards'}"]


def test_a_dataset_is_sharded(tmp_path: Path, dataset: dict[str, Any]) -> None:
    done = run(*arguments(tmp_path, dataset))
    assert (done.returncode, done.stderr) == (0, "")
    found = ShardSet.open(tmp_path / "shards/pets")
    counts = {name: split.num_samples for name, split in found.splits.items()}
    assert sum(counts.values()) == 40 and 2 < counts["test"] < 20
    assert [line.split(",")[0] for line in done.stdout.splitlines()] == [
        f"pets {name}: {count} samples" for name, count in counts.items()
    ]
    assert found.split("train").read(np.arange(3))["image"].shape == (3, 3, 8, 8)


def test_a_terminal_shows_a_bar(tmp_path: Path, dataset: dict[str, Any]) -> None:
    command = [sys.executable, "-m", "pipelines.shard", *arguments(tmp_path, dataset)]
    screen, terminal = pty.openpty()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=terminal) as process:
        os.close(terminal)
        seen = b""
        try:
            while part := os.read(screen, 4096):
                seen += part
        except OSError:  # how a closed terminal ends
            pass
    os.close(screen)
    assert process.returncode == 0 and b"Sharding pets" in seen and b"100%" in seen


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"samples_per_records": 3}, "samples_per_records"),
        ({"samples_per_record": 0}, "0 is below 1"),
        ({"samples_per_record": "many"}, "samples_per_record"),
        ({"name": "../escape"}, "'../escape' is no name for a dataset"),
        ({"reader": {"_target_": "os.system", "command": "x"}}, "os.system is not allowed"),
        ({"reader": {"_target_": "modules.datamodules.formats.idx.IdxReader", "splits": {}, "x": 1}}, "x"),
        ({"splits": {"test": {"from": "train", "fraction": 1.5}}}, "1.5 is not between 0 and 1"),
    ],
)
def test_a_mistake_in_the_yaml_is_one_line(
    tmp_path: Path, dataset: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    done = run(*arguments(tmp_path, dataset | change))
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: ") and message in done.stderr and done.stderr.count("\n") == 1, (
        done.stderr
    )
    assert not (tmp_path / "shards").exists() and not (tmp_path / "escape").exists()


def test_mistakes_on_the_command_line_are_one_line(tmp_path: Path) -> None:
    for given, message in (
        (["dataset=fashion_mnst"], "fashion_mnist"),
        (["dataset=a/b"], "'a/b' is no name for a dataset"),
        ([], "say what to shard"),
    ):
        done = run(*given)
        assert done.returncode == 2 and message in done.stderr and done.stderr.count("\n") == 1, done.stderr


KNOWN = {
    "fashion_mnist": {"test": 10_000, "train": 55_202, "validation": 4_798},
    "mnist_digits": {"test": 2_046, "train": 7_436, "validation": 518},
}


@pytest.mark.parametrize("name", KNOWN)
def test_the_yards_own_datasets_are_what_they_were(name: str) -> None:
    folder = ROOT / "data/shards" / name
    if not folder.exists():
        pytest.skip("not made yet: dvc repro makes it")
    found = ShardSet.open(folder)
    assert {split: entry.num_samples for split, entry in found.splits.items()} == KNOWN[name]
    seen: set[tuple[str, int]] = set()
    for split in found.splits.values():
        samples = split.read(np.arange(split.num_samples))
        counts = np.bincount(samples["label"], minlength=10)
        assert counts.min() > 0.7 * counts.mean(), "a class is rare"
        origin = json.loads((folder / "shards.json").read_text())["splits"][split.name]["from"]
        seen |= {(origin, index) for index in samples["index"].tolist()}
        assert samples["image"].max() == 255 and samples["image"].min() == 0
    assert len(seen) == sum(KNOWN[name].values()), "a sample lies in two splits"


def test_a_source_that_is_not_there_is_fetched_first(
    tmp_path: Path, dataset: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    source = dataset["source"] | {"path": str(tmp_path / "raw/pets")}
    _fetch_what_is_new(source, tmp_path / "new", tmp_path / "cache")
    _fetch_what_is_new(source, tmp_path / "new", tmp_path / "cache")
    assert capsys.readouterr().err == "fetching pets first\n"
    assert len(list((tmp_path / "new/pets").rglob("*.png"))) == 40
    (tmp_path / "raw/pets/cat/0.png").write_bytes((tmp_path / "raw/pets/dog/1.png").read_bytes())
    _fetch_what_is_new(source, tmp_path / "new", tmp_path / "cache")
    assert capsys.readouterr().err == "fetching pets first\n"
    assert (tmp_path / "new/pets/cat/0.png").read_bytes() == (tmp_path / "raw/pets/dog/1.png").read_bytes()
