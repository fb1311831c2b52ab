"""What cannot be trained in shards is said in one line, as early as it can be seen."""

from pathlib import Path

import pytest
import torch
from torch import nn

from modules.configuration.composition.compose import compose
from modules.configuration.errors import ConfigError, UserError
from modules.models.feedforward.neuron import Neuron
from modules.shapes.shape_check import check_shapes
from modules.training.sharding.local_steps import step_locally
from tests.training.sharding.test_sharded_training import sharded
from tests.training.small import small_plan
from tests.training.together import shown_together, train_together


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.ema_decay=0.9", r"trainer.ema_decay: 0.9 with runtime.sharding=fsdp2.* Set it to null"),
        ("trainer.compile=true", r"trainer.compile: true with .* Set it to false"),
        ("trainer.micro_batches=auto", r"trainer.micro_batches: auto with .* Set it to 4"),
        ("trainer.precision=16-mixed", r"trainer.precision: 16-mixed with .* Set it to bf16-mixed"),
        ("fine_tuning.unfreeze_every_epochs=1", r"unfreeze_every_epochs: 1 with .* Set it to null"),
        (
            "optimizer=lbfgs ~optimizer.weight_decay",
            r"optimizer: LBFGS with runtime.sharding=fsdp2: it is not known to treat each number",
        ),
    ],
)
def test_keys_that_do_not_go_together(override: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        small_plan("lenet", *override.split(), *sharded(2))
    small_plan("lenet", *override.split())


def test_one_worker_has_nobody_to_share_with() -> None:
    with pytest.raises(UserError, match=r"runtime.sharding: fsdp2 where one worker .* runtime.num_workers=2"):
        small_plan("lenet", "runtime.sharding=fsdp2")


def test_several_steps_are_refused_with_the_shapes() -> None:
    config = compose(["recipe=neural_cryptography", *sharded(2)])
    with pytest.raises(ConfigError, match=r"runtime.sharding: fsdp2, and the task takes turns .*eve"):
        check_shapes(config)


def test_an_optimiser_of_ones_own_is_refused() -> None:
    class Whitened(torch.optim.SGD):
        """Looks like one that treats each number by itself."""

    with pytest.raises(UserError, match=r"Whitened with runtime.sharding=fsdp2: it is not known"):
        step_locally(Whitened([nn.Parameter(torch.ones(2))], lr=0.1))


def test_a_number_without_an_axis_is_refused_before_the_first_step(
    small_shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = Neuron.__init__

    def with_scale(self: Neuron, *args: object, **kwargs: object) -> None:
        built(self, *args, **kwargs)  # type: ignore[arg-type]
        self.scale = nn.Parameter(torch.ones(()))

    monkeypatch.setattr(Neuron, "__init__", with_scale)  # the workers are forks
    assert train_together(small_plan("neuron", *sharded(2)), small_shards, tmp_path, 2) == [1, 1]
    assert "model.scale is a number without an axis" in shown_together(tmp_path, 2)
    assert not (tmp_path / "checkpoints").exists()
