"""A batch computed in parts learns what it learns as a whole, also where the parts count unequally many."""

from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from pytorch_lightning import Callback, Trainer
from rich.console import Console
from torch import Tensor, nn
from torch.nn import functional

from modules.configuration.errors import UserError
from modules.datamodules.shard_set import ShardSet
from modules.metrics.mean import Mean
from modules.tasks.classification import Classification
from modules.tasks.language_modelling import LanguageModelling
from modules.training.fit import fit
from modules.training.micro_batches import MicroBatches
from modules.training.runs.interruption import Interrupted
from modules.training.training_step import Optimisation, TrainingModule
from tests.training.small import small_loader, small_plan
from tests.training.together import StopAt

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:The `srun` command is available"),
    pytest.mark.filterwarnings("ignore:.*LeafSpec"),
    pytest.mark.filterwarnings("ignore:.*have no `val_dataloader`"),
]
NUM_STEPS, BATCH = 6, 8


class Tokens(Classification):
    """Only some samples count, more of them in some parts than in others; or each."""

    some = True

    def loss(self, batch: dict[str, Tensor]) -> Mean:
        costs = functional.cross_entropy(self.model(batch["image"]), batch["label"], reduction="none")
        return Mean.of(costs, keep=batch["label"] > 1) if self.some else Mean.of(costs)


class Listens(Callback):
    """Makes the training take Lightning's way."""

    def on_after_backward(self, *_: object) -> None:
        """Nothing."""


class Greedy(nn.Module):
    """Takes 2**(6 * samples) bytes: of 8 samples more than there are addresses."""

    def forward(self, values: Tensor) -> Tensor:
        torch.empty(2 ** (6 * len(values)), dtype=torch.uint8)
        return values


def trained(
    parts: int | Literal["auto"],
    some: bool,
    *callbacks: Callback,
    clip: float | None = None,
    inner: nn.Module | None = None,
) -> TrainingModule:
    torch.manual_seed(0)
    layers = [nn.Flatten(), nn.Linear(12, 5), inner or nn.Identity(), nn.Tanh(), nn.Linear(5, 4)]
    task = Tokens(nn.Sequential(*layers), num_classes=4)
    task.some = some
    generator = torch.Generator().manual_seed(1)
    block = {
        "image": torch.rand(NUM_STEPS, BATCH, 1, 3, 4, generator=generator),
        "label": torch.randint(0, 4, (NUM_STEPS, BATCH), generator=generator),
    }
    module = TrainingModule(
        task,
        Optimisation(
            lambda step: torch.optim.SGD(step.learned, lr=0.5),
            lambda progress: 1.0,
            NUM_STEPS,
            NUM_STEPS,
            clip,
            parts,
        ),
    )
    trainer = Trainer(
        max_epochs=1,
        accelerator="cpu",
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, torch.utils.data.DataLoader([block], batch_size=None))  # pyright: ignore
    assert module.global_step == NUM_STEPS
    return module


@pytest.mark.parametrize("some", [True, False])
@pytest.mark.parametrize("callbacks", [(), (Listens(),)], ids=["short way", "Lightning's way"])
@pytest.mark.parametrize("clip", [None, 0.05])
def test_parts_learn_what_the_whole_learns(some: bool, callbacks: tuple, clip: float | None) -> None:
    whole = trained(1, some, *callbacks, clip=clip).state_dict()
    for parts in (3, 8, 20):
        for name, weight in trained(parts, some, *callbacks, clip=clip).state_dict().items():
            torch.testing.assert_close(weight, whole[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("some", [True, False])
@pytest.mark.parametrize("callbacks", [(), (Listens(),)], ids=["short way", "Lightning's way"])
def test_parts_are_halved_until_memory_holds_one(some: bool, callbacks: tuple) -> None:
    found = trained("auto", some, *callbacks, inner=Greedy())
    assert found.micro_batches.num_parts == 2
    whole = trained(1, some, *callbacks).state_dict()
    for name, weight in found.state_dict().items():
        torch.testing.assert_close(weight, whole[name], rtol=1e-5, atol=1e-6)


def test_a_step_that_begins_again_has_the_same_random_numbers() -> None:
    chosen = trained(2, True, inner=nn.Dropout(0.5)).state_dict()
    found = trained("auto", True, inner=nn.Sequential(nn.Dropout(0.5), Greedy())).state_dict()
    assert all(torch.equal(weight, chosen[name]) for name, weight in found.items())


class Endless(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        return values + torch.empty(2**50, dtype=torch.uint8)


def test_one_sample_that_is_too_much_ends_it() -> None:
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        trained("auto", True, inner=Endless())


class Broken(nn.Module):
    def forward(self, values: Tensor) -> Tensor:
        raise RuntimeError("the shapes do not agree")


def test_another_error_is_no_lack_of_memory() -> None:
    with pytest.raises(RuntimeError, match="the shapes do not agree"):
        trained("auto", True, inner=Broken())


def test_what_was_found_is_gone_on_with(
    small_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_loss, num_samples = Classification.loss, []

    def loss(task: Classification, batch: dict[str, Tensor]) -> Mean:
        num_samples.append(len(batch["label"]))
        if len(batch["label"]) > 5:
            torch.empty(2**50, dtype=torch.uint8)
        return whole_loss(task, batch)

    monkeypatch.setattr(Classification, "loss", loss)
    plan = small_plan("lenet", "trainer.micro_batches=auto", "trainer.max_epochs=1")
    data = ShardSet.open(small_shards)

    def run(checkpoint: Path, *callbacks: Callback) -> tuple[dict[str, Tensor], dict[str, Any]]:
        loader, console = small_loader(plan, data), Console(quiet=True)
        task, _, figures = fit(plan, loader, None, checkpoint, console=console, callbacks=callbacks)
        return task.model.state_dict(), figures

    whole, figures = run(tmp_path / "a" / "last.ckpt")
    assert figures["micro_batches"] == 4 and num_samples[:2] == [16, 8]
    with pytest.raises(Interrupted):
        run(tmp_path / "b" / "last.ckpt", StopAt(20))
    num_samples.clear()
    resumed, figures = run(tmp_path / "b" / "last.ckpt")
    assert figures["micro_batches"] == 4 and set(num_samples) == {4}
    assert all(torch.equal(weight, whole[name]) for name, weight in resumed.items())


@pytest.mark.parametrize("value", ["many", "0", "1.5"])
def test_what_is_no_number_of_parts_is_refused(value: str) -> None:
    with pytest.raises(UserError, match=r"trainer\.micro_batches"):
        small_plan("lenet", f"trainer.micro_batches={value}")


@pytest.mark.parametrize("num_parts", [0, "2", None])
def test_a_checkpoint_with_no_number_of_parts_is_refused(num_parts: Any) -> None:
    with pytest.raises(ValueError, match="parts"):
        MicroBatches("auto").load_state_dict({"num_parts": num_parts})


def test_a_state_that_is_carried_cannot_be_cut() -> None:
    optimisation = Optimisation(
        lambda step: torch.optim.SGD(step.learned), lambda progress: 1.0, 1, 1, None, 2
    )
    with pytest.raises(UserError, match="carries a state between them") as caught:
        TrainingModule(LanguageModelling(nn.Linear(1, 1)), optimisation)
    assert caught.value.hint.startswith("Set it to 1")
