"""Training from a mirror, through a cache of a quarter of the data, is training from the folder."""

import json
import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from modules.configuration.errors import UserError
from modules.configuration.plans.identity import identity
from modules.configuration.plans.mirrored_index import check_cache_room
from modules.datamodules.mirror.upload import upload
from tests.commands import Command, run
from tests.object_server import BUCKET, Proxy
from tests.training.small import small_plan, write_small_shards

ADDRESS = f"s3://{BUCKET}/small"
SHARD_BYTES = 61_440
WINDOW = "trainer.order.window_shards=2"
OVERRIDES = [
    "recipe=perceptron",
    "data.samples_per_record=50",
    "trainer.max_epochs=3",
    "trainer.batch_size=16",
    "trainer.block_steps=4",
    "trainer.checkpoint_every_steps=8",
    "trainer.log_every_steps=20",
    "runtime.num_threads=1",
    "runtime.accelerator=cpu",
    "tracking=none",
    WINDOW,
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """data/shards of a yard with some twenty shards."""
    yard = tmp_path_factory.mktemp("yard")
    write_small_shards(yard / "data" / "shards" / "fashion_mnist", max_shard_bytes=60_000)
    return yard


@pytest.fixture(scope="module")
def trained(folder: Path) -> Path:
    """The run folder of a training from the folder."""
    status, _, err = run("pipelines.train", *OVERRIDES, folder=folder)
    assert status == 0, err
    return next((folder / "runs").iterdir())


def shards_of(folder: Path) -> Path:
    return folder / "data" / "shards" / "fashion_mnist"


def quarter(folder: Path) -> float:
    """GiB of a quarter of the training data."""
    described = json.loads((shards_of(folder) / "shards.json").read_text())
    return sum(shard["num_bytes"] for shard in described["splits"]["train"]["shards"]) / 4 / 2**30


def from_mirror(folder: Path, *more: str) -> list[str]:
    return [*OVERRIDES, f"data.mirror={ADDRESS}", f"data.cache_gib={quarter(folder)}", *more]


def weights(run_folder: Path) -> dict[str, torch.Tensor]:
    return torch.load(run_folder / "weights.pt", weights_only=True)


def same_weights(first: Path, second: Path) -> bool:
    one, other = weights(first), weights(second)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("more", [(), ("runtime.num_loader_workers=2",)])
def test_weights_are_those_of_the_folder(
    more: tuple[str, ...], folder: Path, trained: Path, proxy: Proxy, tmp_path: Path
) -> None:
    upload(shards_of(folder), ADDRESS)
    status, _, err = run("pipelines.train", *from_mirror(folder, *more), folder=tmp_path)
    assert status == 0, err
    run_folder = next((tmp_path / "runs").iterdir())
    assert run_folder.name == trained.name, "the same run, wherever its data lie"
    assert same_weights(run_folder, trained)
    assert {path.name for path in shards_of(tmp_path).iterdir()} == {"shards.json"}
    cache = tmp_path / "data" / "cache" / "shards"
    assert 0 < sum(path.stat().st_size for path in cache.glob("*.tar")) <= quarter(folder) * 2**30
    summary = json.loads((run_folder / "summary.json").read_text())
    assert summary["bytes_fetched"] > 2 * 4 * quarter(folder) * 2**30, "more than two epochs of three"
    assert summary["seconds_waited"] > 0
    history = json.loads((run_folder / "history.json").read_text())
    for name in ("data/seconds_waited_per_step", "data/bytes_fetched_per_step"):
        assert [step for step, _ in history[name]] == [step for step, _ in history["train/loss"]]


def test_workers_of_ray_read_from_the_mirror(
    folder: Path, trained: Path, proxy: Proxy, tmp_path: Path
) -> None:
    upload(shards_of(folder), ADDRESS)
    workers = from_mirror(folder, "runtime=ray", "runtime.num_workers=2")
    status, _, err = run("pipelines.train", *workers, folder=tmp_path)
    assert status == 0, err
    run_folder = next((tmp_path / "runs").iterdir())
    assert run_folder.name == trained.name
    torch.testing.assert_close(weights(run_folder), weights(trained), rtol=1e-3, atol=1e-4)
    assert {path.name for path in shards_of(tmp_path).iterdir()} == {"shards.json"}


def test_trials_of_a_sweep_read_from_the_mirror(
    folder: Path, trained: Path, proxy: Proxy, tmp_path: Path
) -> None:
    upload(shards_of(folder), ADDRESS)
    swept = from_mirror(folder, "seed=0,1", "sweep.stack=false")
    status, _, err = run("pipelines.train", "-m", "hydra/sweeper=ray", *swept, folder=tmp_path)
    assert status == 0, err
    assert len(list((tmp_path / "runs").iterdir())) == 2
    assert same_weights(tmp_path / "runs" / trained.name, trained)
    assert {path.name for path in shards_of(tmp_path).iterdir()} == {"shards.json"}


def test_a_killed_training_goes_on_from_the_mirror(
    folder: Path, trained: Path, proxy: Proxy, tmp_path: Path
) -> None:
    upload(shards_of(folder), ADDRESS)
    proxy.fault = lambda name, number: time.sleep(0.05) or ""  # so that there is something to kill
    command = Command("pipelines.train", *from_mirror(folder), folder=tmp_path)
    until_s = time.monotonic() + 120
    while not list((tmp_path / "runs").glob("*/checkpoints/last.ckpt")):
        assert command.poll() is None and time.monotonic() < until_s
        time.sleep(0.01)
    command.send_signal(signal.SIGKILL)
    command.wait(30)
    command.close()
    run_folder = next((tmp_path / "runs").iterdir())
    assert not (run_folder / "weights.pt").exists()
    status, out, err = run("pipelines.train", *from_mirror(folder), folder=tmp_path)
    assert status == 0, err
    assert "going on with" in out and same_weights(run_folder, trained)


def test_a_mirror_that_lies_ends_a_training_in_one_line(folder: Path, proxy: Proxy, tmp_path: Path) -> None:
    upload(shards_of(folder), ADDRESS)
    proxy.fault = lambda name, number: "flip" if name == "train-000005.tar" else ""
    status, _, err = run("pipelines.train", *from_mirror(folder), folder=tmp_path)
    lines = [line for line in err.splitlines() if line.startswith("error:")]
    assert status == 2 and len(lines) == 1 and "Traceback" not in err
    assert f"{ADDRESS}/train-000005.tar is damaged: expected sha256" in lines[0]
    proxy.fault = lambda name, number: ""
    status, _, err = run("pipelines.train", *from_mirror(folder), folder=tmp_path)
    assert status == 0, err


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["trainer.order.window_shards=0"], "trainer.order.window_shards: 0 is below 1"),
        ([f"data.cache_gib={3 * SHARD_BYTES / 2**30}"], "reads 2 windows of 2 shards of 1. shards at a time"),
        (["trainer.order.window_shards=null"], "training reads all of 1. shards at a time"),
        (["trainer.block_steps=20"], "reads 5 windows of 2 shards"),
        (["trainer.order.kind=stream"], "whose strands read all shards at once"),
        (["data.mirror=ftp://x"], "is of no kind that can be read"),
        (["data.cache_gib=0"], "data.cache_gib: 0"),
        (["data.cache_dir=' '"], "names no folder"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(
    overrides: list[str], message: str, folder: Path, tmp_path: Path
) -> None:
    shards_of(tmp_path).mkdir(parents=True)
    index = (shards_of(folder) / "shards.json").read_bytes()
    (shards_of(tmp_path) / "shards.json").write_bytes(index)
    status, _, err = run("pipelines.plan", *from_mirror(folder, *overrides), folder=tmp_path)
    assert status == 2 and re.search(message, err), err


def test_where_the_data_lie_is_no_part_of_a_runs_identity(folder: Path) -> None:
    def of(*overrides: str) -> str:
        return identity(small_plan("perceptron", *overrides), shards_of(folder))

    plain = of()
    assert of(f"data.mirror={ADDRESS}", "data.cache_gib=3", "data.cache_dir=/tmp") == plain
    assert of(WINDOW) != plain


def test_settings_that_came_later_change_no_identity(folder: Path) -> None:
    """Runs of before have neither the keys of a mirror nor that of windows."""
    plan = small_plan("perceptron")
    older: dict[str, Any] = {**plan.configuration}
    older["data"] = {
        key: value for key, value in older["data"].items() if key not in ("mirror", "cache_dir", "cache_gib")
    }
    order = {key: value for key, value in older["trainer"]["order"].items() if key != "window_shards"}
    older["trainer"] = older["trainer"] | {"order": order}
    assert identity(plan.changed(**older), shards_of(folder)) == identity(plan, shards_of(folder))


def test_data_that_lie_in_the_folder_need_no_cache(folder: Path) -> None:
    plan = small_plan("perceptron", f"data.mirror={ADDRESS}", "data.cache_gib=0.000001")
    check_cache_room(plan.configuration, shards_of(folder))
    (shards_of(folder) / "train-000000.tar").rename(folder / "away")
    try:
        with pytest.raises(UserError, match=r"data\.cache_gib: 1e-06 GiB, and training reads all of"):
            check_cache_room(plan.configuration, shards_of(folder))
    finally:
        (folder / "away").rename(shards_of(folder) / "train-000000.tar")
