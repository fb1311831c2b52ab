"""What cannot be trained in shards (`runtime.sharding`), as far as a configuration tells."""

from typing import Any

from modules.configuration.errors import ConfigError
from modules.configuration.schema.execution_settings import RuntimeSettings
from modules.configuration.schema.trainer_settings import TrainerSettings

ELEMENTWISE = (
    *("SGD", "Adam", "AdamW", "Adamax", "NAdam", "RAdam"),
    *("Adagrad", "Adadelta", "RMSprop", "ASGD", "Rprop"),
)
"""Optimisers of torch.optim that treat each number by itself: a step of shards is a shard of the step."""
_TORCH = "torch.optim."


def check_sharding(
    runtime: RuntimeSettings,
    trainer: TrainerSettings,
    unfreeze_every_epochs: int | None,
    optimizer: dict[str, Any],
) -> None:
    """Refuses what would not come out as it does without shards.

    Args:
        runtime, trainer, optimizer: the sections.
        unfreeze_every_epochs: of fine_tuning.

    Raises:
        ConfigError: names the key, and a value of it that fits.
    """
    if runtime.sharding == "none":
        return
    beside = f"with runtime.sharding={runtime.sharding}"
    # What is found, and the value that fits.
    refused = {
        "trainer.ema_decay": (trainer.ema_decay, None),
        "trainer.compile": (trainer.compile, False),
        "trainer.micro_batches": (trainer.micro_batches == "auto" and "auto", 4),
        "trainer.precision": (trainer.precision == "16-mixed" and "16-mixed", "bf16-mixed"),
        "fine_tuning.unfreeze_every_epochs": (unfreeze_every_epochs, None),
    }
    for key, (found, fitting) in refused.items():
        if found:
            value = {None: "null", False: "false"}.get(fitting, fitting)
            told = str(found).lower() if found is True else found
            raise ConfigError(key, f"{told} {beside}", f"Set it to {value}, or runtime.sharding to none")
    target = optimizer.get("_target_")
    if target is None:
        raise ConfigError(
            "optimizer", f"one for each of several steps {beside}", "Set runtime.sharding to none"
        )
    if target.removeprefix(_TORCH) not in ELEMENTWISE:
        raise ConfigError("optimizer", *not_elementwise(target.rpartition(".")[2]))


def not_elementwise(name: str) -> tuple[str, str]:
    """The problem of an optimiser whose steps may not be taken shard by shard, and how to go on."""
    return (
        f"{name} with runtime.sharding=fsdp2: it is not known to treat each number by itself",
        f"Choose {', '.join(ELEMENTWISE[:3])} or the like, or set runtime.sharding to none",
    )
