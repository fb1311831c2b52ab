"""Best epochs, early stopping and averaged weights: as one would by hand, and the same after a resume."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from rich.console import Console
from torch import Tensor, nn

from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.configuration.schema.trainer_settings import KeepSettings
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.tasks.task import Task
from modules.tracking.spool import EVENTS, read_events
from modules.training.averaged_weights import AveragedWeights
from modules.training.fit import fit
from modules.training.monitoring.curves import Curves
from modules.training.runs.checkpoint import CheckpointSaver
from modules.training.runs.interruption import Interrupted
from modules.training.runs.run import train
from modules.training.runs.run_folder import RunFolder
from modules.training.selection import KeepWeights, Monitor
from tests.training.small import small_loader, small_plan
from tests.training.together import shown_together, train_together

OVERFITTED = ("trainer.max_epochs=6", "optimizer.lr=0.3")
"""So much that the last epoch is not the best."""


class Watch(Callback):
    """Keeps the weights of every epoch and of every block; asks to stop at a step."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at = stop_at
        self.epochs: list[dict[str, Tensor]] = []
        self.blocks: list[dict[str, Tensor]] = []

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self.blocks.append({name: value.clone() for name, value in pl_module.task.model.state_dict().items()})  # pyright: ignore
        saver = trainer.checkpoint_callback
        if self.stop_at is not None and trainer.global_step >= self.stop_at:
            assert isinstance(saver, CheckpointSaver)
            saver.interruption.request(Interrupted(signal.SIGTERM))

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.epochs.append({name: value.clone() for name, value in pl_module.task.model.state_dict().items()})  # pyright: ignore


def run(
    plan: Plan, shards: Path, checkpoint: Path, *callbacks: Callback
) -> tuple[Task, Curves, dict[str, Any]]:
    data = ShardSet.open(shards)
    validation = EvaluationLoader(data.split("validation"), 50)
    return fit(
        plan,
        small_loader(plan, data),
        validation,
        checkpoint,
        console=Console(quiet=True),
        callbacks=callbacks,
    )


def equal(weights: dict[str, Tensor], others: dict[str, Tensor]) -> bool:
    return weights.keys() == others.keys() and all(
        torch.equal(weights[name], others[name]) for name in weights
    )


@pytest.mark.parametrize(("monitor", "better"), [("validation/accuracy", max), ("validation/loss", min)])
def test_the_best_epochs_are_kept(monitor: str, better: Any, small_shards: Path, tmp_path: Path) -> None:
    plan = small_plan("perceptron", *OVERFITTED, "trainer.keep.best=2", f"trainer.monitor={monitor}")
    watch = Watch()
    _, curves, figures = run(plan, small_shards, tmp_path / "last.ckpt", watch)
    values = [value for _, value in curves.history[monitor]]
    ranked = sorted(range(6), key=lambda number: values[number], reverse=better is max)  # the earlier first
    assert {path.name for path in tmp_path.glob("epoch_*")} == {f"epoch_{n + 1}.pt" for n in ranked[:2]}
    for number in ranked[:2]:
        kept = torch.load(tmp_path / f"epoch_{number + 1}.pt", weights_only=True)
        assert equal(kept, watch.epochs[number])
    first = ranked[0]
    steps = figures["steps"] // 6
    best = {"epoch": first + 1, "step": (first + 1) * steps, "value": values[first], "metric": monitor}
    assert figures["best"] == best and values[first] == better(values)


def test_what_is_kept_changes_no_bit(small_shards: Path, tmp_path: Path) -> None:
    plain, _, _ = run(small_plan("lenet"), small_shards, tmp_path / "plain" / "last.ckpt")
    options = (
        "trainer.keep={best: 1, last: 3, every_epochs: 1}",
        "trainer.early_stopping={patience: 9}",
    )
    kept, _, figures = run(small_plan("lenet", *options), small_shards, tmp_path / "kept" / "last.ckpt")
    assert equal(plain.model.state_dict(), kept.model.state_dict())
    assert figures["stopped_early"] is False
    names = {path.name for path in (tmp_path / "kept").iterdir()}
    checkpoints = {"last.ckpt", "before_last.ckpt", "before_last_2.ckpt"}
    assert names == checkpoints | {"epoch_1.pt", "epoch_2.pt"}
    assert {path.name for path in (tmp_path / "plain").iterdir()} == {"last.ckpt", "before_last.ckpt"}
    one = small_plan("lenet", "trainer.keep.last=1")
    run(one, small_shards, tmp_path / "one" / "last.ckpt")
    assert {path.name for path in (tmp_path / "one").iterdir()} == {"last.ckpt"}


def test_damaged_checkpoints_are_gone_back_from_one_after_another(small_shards: Path, tmp_path: Path) -> None:
    plan = small_plan("neuron", "trainer.keep.last=3")
    whole, _, _ = run(plan, small_shards, tmp_path / "whole" / "last.ckpt")
    path = tmp_path / "last.ckpt"
    with pytest.raises(Interrupted):
        run(plan, small_shards, path, Watch(stop_at=30))
    for number in range(2):
        path.write_bytes(b"damaged")
        with pytest.raises(Interrupted):
            run(plan, small_shards, path, Watch(stop_at=30 + number))
    resumed, _, _ = run(plan, small_shards, path)
    assert equal(whole.model.state_dict(), resumed.model.state_dict())


def test_a_run_is_its_best_epoch_and_the_last_lies_beside(small_shards: Path, tmp_path: Path) -> None:
    plan = small_plan("perceptron", *OVERFITTED, "trainer.keep.best=1")
    folder, watch = RunFolder(tmp_path / "run"), Watch()
    summary = train(plan, "0" * 64, small_shards, folder, Console(quiet=True), [watch])
    epoch = summary["best"]["epoch"]
    assert epoch < 6
    assert equal(torch.load(folder.weights, weights_only=True), watch.epochs[epoch - 1])
    assert equal(torch.load(folder.weights_last, weights_only=True), watch.epochs[-1])
    told = [
        event for event, _ in read_events(folder.tracking / EVENTS) if event and event["event"] == "model"
    ]
    assert [event["name"] for event in told] == [f"epoch_{epoch}"]
    assert told[0]["step"] == summary["best"]["step"] and told[0]["tags"]["is_best"] == "true"
    assert told[0]["metrics"][f"kept/{summary['best']['metric']}"] == summary["best"]["value"]
    assert Path(told[0]["tags"]["weights"]).is_file()
    out = tmp_path / "build"
    folder.publish(out, {})
    assert (out / "weights_last.pt").read_bytes() == folder.weights_last.read_bytes()
    folder.weights_last.unlink()
    folder.publish(out, {})
    assert not (out / "weights_last.pt").exists()


def test_training_stops_when_it_no_longer_gets_better(small_shards: Path, tmp_path: Path) -> None:
    plan = small_plan(
        "perceptron",
        "trainer.max_epochs=30",
        "trainer.monitor=validation/loss",
        "trainer.early_stopping={patience: 2, min_delta: 0.01}",
    )
    _, curves, figures = run(plan, small_shards, tmp_path / "whole" / "last.ckpt")
    values = [value for _, value in curves.history["validation/loss"]]
    best, waited = float("inf"), 0
    for epoch, value in enumerate(values, 1):
        best, waited = (value, 0) if value < best - 0.01 else (best, waited + 1)
        assert (waited == 2) == (epoch == len(values))
    assert figures["stopped_early"] and figures["epochs"] == len(values) < 30
    # Gone on with at its end, and from the middle of its last epoch.
    _, again, same = run(plan, small_shards, tmp_path / "whole" / "last.ckpt")
    assert again.history == curves.history and same["steps"] == figures["steps"]
    with pytest.raises(Interrupted):
        run(plan, small_shards, tmp_path / "last.ckpt", Watch(stop_at=figures["steps"] - 20))
    _, resumed, _ = run(plan, small_shards, tmp_path / "last.ckpt")
    assert resumed.history == curves.history


@pytest.mark.parametrize("block_steps", [1, 4])
def test_the_average_is_what_is_judged(block_steps: int, small_shards: Path, tmp_path: Path) -> None:
    options = ("trainer.ema_decay=0.9", "trainer.keep.best=1", "trainer.keep.every_epochs=1")
    blocks = f"trainer.block_steps={block_steps}"
    every, watch = Watch(), Watch()
    plain, _, _ = run(
        small_plan("lenet", "trainer.block_steps=1"), small_shards, tmp_path / "a" / "last.ckpt", every
    )
    plan = small_plan("lenet", *options, blocks)
    averaged, curves, _ = run(plan, small_shards, tmp_path / "b" / "last.ckpt", watch)
    assert equal(watch.epochs[-1], plain.model.state_dict()), "training itself goes on as without"
    first = torch.load(tmp_path / "b" / "epoch_1.pt", weights_only=True)
    expected: dict[str, Tensor] = {}
    from modules.training.fit import initial_task

    expected = {name: value.double() for name, value in initial_task(plan).model.state_dict().items()}
    for step, weights in enumerate(every.blocks, 1):
        decay = min(0.9, step / (step + 9))
        expected = {
            name: decay * value + (1 - decay) * weights[name].double() for name, value in expected.items()
        }
        if step == len(every.blocks) // 2:
            for name, value in expected.items():
                torch.testing.assert_close(first[name].double(), value, rtol=1e-5, atol=1e-6)
    for name, value in averaged.model.state_dict().items():
        torch.testing.assert_close(value.double(), expected[name], rtol=1e-5, atol=1e-6)
    # What validation recorded is of the average.
    validation = EvaluationLoader(ShardSet.open(small_shards).split("validation"), 1000)
    (batch,) = validation
    averaged.eval()
    with torch.no_grad():
        accuracy = averaged.validate(batch)["validation/accuracy"].quotient
    assert curves.history["validation/accuracy"][-1][1] == pytest.approx(float(accuracy))


@pytest.mark.parametrize("stop_at", [20, 70])
def test_average_and_best_go_on_bit_for_bit(stop_at: int, small_shards: Path, tmp_path: Path) -> None:
    keep = "trainer.keep={best: 1, every_epochs: 2}"
    options = ("trainer.ema_decay=0.95", keep, "trainer.max_epochs=3")
    plan = small_plan("lenet", *options)
    whole, curves, figures = run(plan, small_shards, tmp_path / "a" / "last.ckpt")
    with pytest.raises(Interrupted):
        run(plan, small_shards, tmp_path / "b" / "last.ckpt", Watch(stop_at=stop_at))
    resumed, others, same = run(plan, small_shards, tmp_path / "b" / "last.ckpt")
    assert equal(whole.model.state_dict(), resumed.model.state_dict())
    assert curves.history == others.history
    assert figures["best"] == same["best"] and figures["kept"] == same["kept"]
    name = f"epoch_{same['best']['epoch']}.pt"
    kept = [torch.load(tmp_path / side / name, weights_only=True) for side in "ab"]
    assert equal(*kept)


def test_running_statistics_are_averaged_and_counts_are_not() -> None:
    torch.manual_seed(0)
    model = nn.BatchNorm1d(3)
    model.register_buffer("mask", torch.tensor([0.0, -float("inf")]))
    average = AveragedWeights(model, 0.5)
    average.on_train_start(None, None)  # type: ignore[arg-type]
    expected, decay = model.running_mean.clone(), 1 / 10  # type: ignore[union-attr]
    model(torch.randn(5, 3))
    average.update()
    expected = decay * expected + (1 - decay) * model.running_mean  # type: ignore[operator]
    found = average.weights()
    torch.testing.assert_close(found["running_mean"], expected)
    assert found["num_batches_tracked"] == 1 and found["mask"].tolist() == [0.0, -float("inf")]


def test_an_average_of_another_model_is_refused() -> None:
    average = AveragedWeights(nn.Linear(2, 1), 0.5)
    state = {"num_steps": 3, "average": {"weight": torch.ones(1, 3), "bias": torch.ones(1)}}
    with pytest.raises(ValueError, match="not of this model"):
        average.load_state_dict(state)
    state["average"] = {"weight": torch.tensor([[1.0, float("nan")]]), "bias": torch.ones(1)}
    with pytest.raises(ValueError, match="NaN"):
        average.load_state_dict(state)


def test_no_number_is_never_the_best(tmp_path: Path) -> None:
    curves = Curves(None, lambda: 0)
    monitor = Monitor("validation/loss", "min", curves)
    keep = KeepWeights(tmp_path, KeepSettings(best=1), monitor, dict, lambda _: None)
    assert not monitor.is_better(float("nan"), None) and not monitor.is_better(float("nan"), 1.0)
    assert monitor.is_better(0.9, 1.0) and not monitor.is_better(0.9, 1.0, min_delta=0.2)
    assert keep.best is None


def test_workers_keep_what_one_alone_keeps(small_shards: Path, tmp_path: Path) -> None:
    plan = small_plan(
        "perceptron",
        "optimizer=sgd",
        "optimizer.lr=0.05",
        "trainer.max_epochs=3",
        "trainer.keep.best=1",
        "trainer.ema_decay=0.9",
        "trainer.early_stopping={patience: 3}",
    )
    folders = [tmp_path / "alone", tmp_path / "together"]
    for num_workers, folder in enumerate(folders, 1):
        statuses = train_together(plan, small_shards, folder, num_workers)
        assert statuses == [0] * num_workers, shown_together(folder, num_workers)
    for name in ("weights.pt", "weights_last.pt"):
        alone, together = (torch.load(folder / name, weights_only=True) for folder in folders)
        for weight, value in alone.items():
            torch.testing.assert_close(together[weight], value, rtol=1e-3, atol=1e-5)
    best = [json.loads((folder / "summary.json").read_text())["best"] for folder in folders]
    assert best[0]["epoch"] == best[1]["epoch"]


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        (["trainer.keep.best=1", "trainer.monitor=validation/los"], "trainer.monitor: .*Did you mean"),
        (["trainer.monitor=train/loss"], "trainer.monitor: Classification logs no 'train/loss'"),
        (["trainer.keep.best=-1"], "trainer.keep.best: -1 is below 0"),
        (["trainer.keep.last=0"], "trainer.keep.last: 0 is below 1"),
        (["trainer.keep.every_epochs=0"], "trainer.keep.every_epochs: 0 is below 1"),
        (["+trainer.keep.ever=1"], "trainer.keep.ever"),
        (["trainer.early_stopping={patience: 0}"], "trainer.early_stopping.patience: 0 is below 1"),
        (["trainer.early_stopping={patience: 1, min_delta: -1.0}"], "min_delta: -1.0 is no number"),
        (["trainer.early_stopping={}"], "trainer.early_stopping.patience: is missing"),
        (["trainer.ema_decay=1.0"], "trainer.ema_decay: 1.0 is not between 0 and 1"),
    ],
)
def test_what_cannot_be_is_one_line(overrides: list[str], problem: str) -> None:
    with pytest.raises(UserError, match=problem) as caught:
        small_plan("perceptron", *overrides)
    assert "\n" not in str(caught.value)


def test_without_validation_there_is_no_best(small_shards: Path, tmp_path: Path) -> None:
    data = ShardSet.open(small_shards)
    for option in ("trainer.keep.best=1", "trainer.early_stopping={patience: 1}"):
        plan = small_plan("perceptron", option)
        with pytest.raises(UserError, match=r"hangs on validation, and fashion_mnist has no"):
            fit(plan, small_loader(plan, data), None, tmp_path / "last.ckpt", console=Console(quiet=True))
    assert not (tmp_path / "last.ckpt").exists()
