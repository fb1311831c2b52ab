"""A block of steps does what Lightning does step by step, and all that listens is heard."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.loggers.logger import DummyLogger
from pytorch_lightning.plugins.precision import MixedPrecision
from torch import Tensor, nn

from modules.configuration.errors import UserError
from modules.tasks.classification import Classification
from modules.training.training_step import Optimisation, TrainingModule

BATCH_SIZE, NUM_STEPS = 8, 12
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*LeafSpec:FutureWarning",
    "ignore:.*does not have many workers",
    "ignore:.*val_dataloader",
    "ignore:The `srun` command",
)


class Blocks:
    """Always the same batches, `block_steps` at a time."""

    def __init__(self, block_steps: int) -> None:
        generator = torch.Generator().manual_seed(0)
        image = torch.randint(
            0, 256, (NUM_STEPS, BATCH_SIZE, 1, 8, 8), dtype=torch.uint8, generator=generator
        )
        label = torch.randint(0, 4, (NUM_STEPS, BATCH_SIZE), generator=generator)
        self.fields = {"image": image, "label": label}
        self.block_steps = block_steps

    def __len__(self) -> int:
        return -(-NUM_STEPS // self.block_steps)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for start in range(0, NUM_STEPS, self.block_steps):
            yield {name: values[start : start + self.block_steps] for name, values in self.fields.items()}


class Listener(Callback):
    """Counts what Lightning tells it of."""

    def __init__(self) -> None:
        self.rates: list[float] = []
        self.num_backward = 0

    def on_after_backward(self, *rest: Any) -> None:
        self.num_backward += 1

    def on_before_optimizer_step(self, trainer: Any, module: Any, optimizer: Any) -> None:
        self.rates.append(optimizer.param_groups[0]["lr"])


def trained(
    block_steps: int,
    precision: Any = "32-true",
    clip: float | None = None,
    callbacks: tuple[Callback, ...] = (),
    num_epochs: int = 2,
    plugins: Any = None,
) -> TrainingModule:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 4))
    task = Classification(model, num_classes=4, label_smoothing=0.1, augmentation=nn.Dropout2d(0.2))
    num_steps = num_epochs * NUM_STEPS
    module = TrainingModule(
        task,
        Optimisation(
            lambda step: torch.optim.AdamW(step.learned, lr=0.01, fused=True),
            lambda progress: 1.0 - progress,
            num_steps,
            block_steps,
            clip,
        ),
    )
    trainer = Trainer(
        max_epochs=num_epochs,
        accelerator="cpu",
        precision=precision,
        callbacks=list(callbacks),
        plugins=plugins,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    torch.manual_seed(1)
    trainer.fit(module, Blocks(block_steps))
    assert module.global_step == num_steps
    return module


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "bf16-true", "64-true"])
@pytest.mark.parametrize("clip", [None, 0.05])
def test_block_size_changes_no_weight(precision: str, clip: float | None) -> None:
    lightnings_own = trained(1, precision, clip)
    for block_steps in (5, 12):
        assert same_weights(trained(block_steps, precision, clip), lightnings_own)


def test_scaled_gradients_are_not_clipped_behind_a_fused_optimizer() -> None:
    with pytest.raises(UserError, match="fused"):
        trained(5, precision=None, clip=0.05, plugins=MixedPrecision("16-mixed", "cpu"))


def test_clipping_and_precision_change_weights() -> None:
    plain = trained(5)
    assert not same_weights(trained(5, clip=0.05), plain)
    assert not same_weights(trained(5, "bf16-mixed"), plain)


def test_callbacks_are_told_of_every_step() -> None:
    listener = Listener()
    module = trained(5, callbacks=(listener,))
    assert listener.num_backward == len(listener.rates) == 2 * NUM_STEPS
    assert listener.rates == [0.01 * (1 - step / 24) for step in range(24)]
    assert same_weights(module, trained(5))


def test_a_checkpoint_names_the_weights_as_the_task_does() -> None:
    module, other = trained(5, num_epochs=1), trained(5, num_epochs=2)
    weights = module.state_dict()
    assert set(weights) == {"model.1.weight", "model.1.bias", "model.4.weight", "model.4.bias"}
    assert weights.keys() == module.task.state_dict().keys()
    other.load_state_dict(weights)
    assert same_weights(other, module)


def test_validation_weighs_each_sample_alike() -> None:
    class Ragged:
        """Batches of five and of three samples."""

        def __iter__(self) -> Iterator[dict[str, Tensor]]:
            fields = {name: values[0] for name, values in Blocks(1).fields.items()}
            for part in (slice(0, 5), slice(5, 8)):
                yield {name: values[part] for name, values in fields.items()}

    class Figures(DummyLogger):
        def log_metrics(self, metrics: Any, step: int | None = None) -> None:
            found.update(metrics)

    found: dict[str, float] = {}
    module = trained(5)
    trainer = Trainer(
        accelerator="cpu",
        logger=Figures(),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.validate(module, Ragged(), verbose=False)
    task = module.task.eval()
    whole = {name: values[0] for name, values in Blocks(1).fields.items()}
    right = (task.model(task.inputs(whole)).argmax(1) == whole["label"]).double().mean()
    assert found["validation/accuracy"] == float(right)
    assert found["validation/loss"] == pytest.approx(task.loss(whole).value, rel=1e-6)
