"""The first steps of a run, kept as a digest of the weights that they led to.

Whether other code gives the same bits can so be told without training to the end; see
`modules.training.runs.replay`.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from signal import SIGTERM
from typing import Any

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint
from torch import Tensor

from modules.training.data_parallel import rank, world_size
from modules.training.runs.environment import environment
from modules.training.runs.interruption import Interrupted
from modules.training.runs.run_folder import FIRST_STEPS, RunFolder
from modules.training.sharding.whole_tensors import is_sharded, whole_state
from modules.training.training_step import TrainingModule


@dataclass(frozen=True)
class FirstSteps:
    """What the first steps of a run came to, and where.

    Attributes:
        num_steps: optimiser steps: those of the first block.
        weights: sha256 of the model's weights after them.
        carrying_code: fingerprint of the code that carried them; see
        `modules.configuration.plans.code_rings`. num_workers: processes that trained together.
        num_threads: of arithmetic, in each of them.
        cpu: its name.
        gpu: its name; empty where none took part.
        sharding: what `runtime.sharding` was.
    """

    num_steps: int
    weights: str
    carrying_code: str
    num_workers: int
    num_threads: int
    cpu: str
    gpu: str = ""
    sharding: str = "none"


class KeepFirstSteps(Callback):
    """Writes `first_steps.json` at the end of a new run's first block; every worker gives its shards to it.

    Args:
        folder: of the run.
        carrying_code: today's.
    """

    def __init__(self, folder: RunFolder, carrying_code: str) -> None:
        self.folder = folder
        self.carrying_code = carrying_code
        self._is_new = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._is_new = trainer.global_step == 0

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not self._is_new:
            return
        self._is_new = False
        assert isinstance(pl_module, TrainingModule)
        weights = whole_state(pl_module.task.model.state_dict())
        if rank() > 0:
            return
        machine = environment()
        on_gpu = trainer.strategy.root_device.type == "cuda"
        found = FirstSteps(
            num_steps=trainer.global_step,
            weights=weights_digest(weights),
            carrying_code=self.carrying_code,
            num_workers=world_size(),
            num_threads=int(machine["num_threads"]),
            cpu=machine["cpu"],
            gpu=machine.get("gpu", "") if on_gpu else "",
            sharding="fsdp2" if is_sharded(pl_module.parameters()) else "none",
        )
        self.folder.write(FIRST_STEPS, asdict(found))


class FirstStepsDone(Interrupted):
    """The first block has been trained, and no more is wanted."""

    def __init__(self) -> None:
        super().__init__(SIGTERM)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), ()


class StopAfterFirstSteps(Checkpoint):
    """Ends a training after its first block; as a `Checkpoint` it comes after what keeps the first steps."""

    def on_train_batch_end(self, *_: Any) -> None:
        raise FirstStepsDone


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """The sha256 of weights by name, bit by bit."""
    digest = hashlib.sha256()
    for name, weight in weights.items():
        flat = weight.detach().cpu().contiguous().flatten()
        digest.update(f"{name} {weight.dtype} {list(weight.shape)}\n".encode())
        digest.update(flat.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
