"""Checkpoints: written whole or not at all, and safe to load whoever wrote them.

Lightning's own checkpoint is kept (model, optimiser, loops, precision plugin, callbacks, stateful loader),
because its users know it and `Trainer.fit(ckpt_path=...)` restores it; what is ours is how it reaches the
disk and comes back. Writing goes to a temporary name, is flushed to the disk and moved into place: a kill
or a full disk at any moment leaves the previous checkpoint. Reading unpickles tensors and plain containers
only, before any other code sees the file; whatever else it holds (`__reduce__`, a class to instantiate,
hyper-parameters) is refused.
"""

import os
import pickle
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning_fabric.plugins.io import CheckpointIO
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint
from torch import Tensor
from torch.optim import Optimizer

from modules.configuration.errors import UserError
from modules.training.data_parallel import all_workers, highest
from modules.training.runs.checkpoint_schema import CheckpointError, check_optimizers
from modules.training.runs.checkpoint_writer import CheckpointWriter
from modules.training.runs.interruption import Interrupted, Interruption
from modules.weights.tensor_file import first_not_plain, load_tensors

# What `Trainer.save_checkpoint` writes for a task without hyper-parameters; nothing else is ever looked at.
_REQUIRED = {"state_dict", "loops", "callbacks", "optimizer_states", "global_step", "epoch"}
_OPTIONAL = {"lr_schedulers", "pytorch-lightning_version", "MixedPrecision"}
# What torch raises where bytes are missing or changed.
DAMAGE = (
    *(RuntimeError, EOFError, OSError, ValueError, KeyError, AttributeError, TypeError, IndexError),
    *(zipfile.BadZipFile, NotImplementedError, AssertionError, OverflowError, MemoryError),
)
BEFORE = "before_last.ckpt"
"""The name of the checkpoint before the last one, which takes its place where it is damaged."""


class AtomicCheckpointIO(CheckpointIO):
    """Lightning's way to the disk, atomic and safe; training goes on while a checkpoint is written.

    Args:
        writer: writes them, one at a time.
        num_kept: newest checkpoints that stay, at least one.

    Attributes:
        later: tensors that do not change before the writer's `wait_for_copy`.
    """

    def __init__(self, writer: CheckpointWriter, num_kept: int = 2) -> None:
        self.later: Sequence[Tensor] = ()
        self._writer = writer
        self._num_kept = num_kept

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        def save(content: dict[str, Any]) -> None:
            _keep_before(Path(path), self._num_kept - 1)
            save_tensors(content, Path(path))

        self._writer.write(checkpoint, save, self.later)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        return read_checkpoint(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


def save_tensors(content: dict[str, Any], path: Path) -> None:
    """Writes tensors and plain containers to a file, whole or not at all.

    Raises:
        OSError: the disk is full or takes no more; what was there before is still there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with unfinished.open("wb") as file:
            torch.save(content, file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # the new name itself
    finally:
        os.close(folder)


def before(path: Path, number: int) -> Path:
    """The file of the checkpoint that was written so many saves before the one at `path`, from 1."""
    return path.with_name(BEFORE if number == 1 else f"{Path(BEFORE).stem}_{number}.ckpt")


def _keep_before(path: Path, num_before: int) -> None:
    """Gives the file a second name, which it keeps when the next one takes its own; those before move on."""
    for number in range(num_before, 1, -1):
        if before(path, number - 1).is_file():
            before(path, number - 1).replace(before(path, number))
    if num_before and path.is_file():
        linked = path.with_name(f".{BEFORE}.unfinished")
        linked.unlink(missing_ok=True)
        os.link(path, linked)
        linked.replace(before(path, 1))


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Loads a checkpoint that may come from anybody.

    Args:
        path: the checkpoint file.

    Returns:
        Its contents, all tensors on the CPU.

    Raises:
        UserError: the file is damaged, or holds more than tensors and plain containers. None of it has been
        run.
    """
    hint = f"Remove {path} to train from the beginning"
    try:
        checkpoint = load_tensors(path, archive_only=True)
    except UserError as error:
        raise CheckpointError(error.problem, error.hint) from None
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"checkpoint {path} holds more than tensors and plain values, nothing of it was run", hint
        ) from error
    except FileNotFoundError as error:
        raise UserError(f"there is no checkpoint {path}") from error
    except DAMAGE as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"checkpoint {path} is damaged: {reason}", hint) from error
    if not isinstance(checkpoint, dict) or not checkpoint.keys() >= _REQUIRED:
        raise CheckpointError(f"{path} is not a checkpoint of a training", hint)
    if unknown := sorted(map(str, checkpoint.keys() - _REQUIRED - _OPTIONAL)):
        raise CheckpointError(
            f"checkpoint {path} holds what no training here writes: {', '.join(unknown)}", hint
        )
    if strange := first_not_plain(checkpoint):
        raise CheckpointError(
            f"checkpoint {path} holds a {strange}, only tensors and plain values are allowed", hint
        )
    kinds = {"state_dict": dict, "loops": dict, "callbacks": dict, "optimizer_states": list}
    kinds |= {"epoch": int, "global_step": int}
    for key, kind in kinds.items():
        value = checkpoint[key]
        if not isinstance(value, kind) or isinstance(value, bool) or (kind is int and value < 0):
            raise CheckpointError(f"checkpoint {path}: its {key} is none", hint)
    return checkpoint


def go_back(path: Path) -> bool:
    """Puts the checkpoint before in the place of a damaged one, which is kept; False: there is none."""
    if not before(path, 1).is_file():
        return False
    path.replace(path.with_name(f"{path.name}.damaged"))
    before(path, 1).replace(path)
    number = 2
    while before(path, number).is_file():
        before(path, number).replace(before(path, number - 1))
        number += 1
    return True


class CheckpointSaver(Checkpoint):
    """Saves the newest checkpoint every so many steps and at the end of each epoch; ends the run when asked
    to.

    Nothing is saved between the last step of an epoch and the end of its validation, so that a resumed run
    never finds half a validation. Processes that train together save and stop at the same block; the first
    of them writes. Training goes on meanwhile, but does not end before.

    Args:
        path: the one file that is written again and again.
        every_steps: a checkpoint at the first end of a block at or after each multiple of this.
        before_save: called first; raises where the state is not worth keeping.
        interruption: asks to save and stop at the end of the running block.
        writer: writes.
        only_steps: whether nothing but optimiser steps changes weights and optimiser states.

    Attributes:
        seconds: spent on saving so far.
    """

    def __init__(
        self,
        path: Path,
        every_steps: int,
        before_save: Callable[[Trainer], None],
        interruption: Interruption,
        writer: CheckpointWriter,
        only_steps: bool,
    ) -> None:
        self.path = path
        self.every_steps = every_steps
        self.before_save = before_save
        self.interruption = interruption
        self._writer = writer
        self._only_steps = only_steps
        self.saved_step = 0
        self.is_training = False
        self.seconds = 0.0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Lightning has just set a handler that would end the run in mid-validation, with nothing saved.
        self.interruption.listen()
        self.saved_step = trainer.global_step
        configured: Any = pl_module.configured
        check_optimizers(trainer.optimizers, configured)
        for optimizer in trainer.optimizers:
            optimizer.register_step_pre_hook(self._before_step)

    def _before_step(self, *step: Any) -> None:
        self.seconds += self._writer.wait_for_copy()

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # The last callback: all that a checkpoint restores has been taken by now.
        self.is_training = True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx + 1 == trainer.num_training_batches:
            return
        due = trainer.global_step // self.every_steps > self.saved_step // self.every_steps
        if due or self._asked():
            self._save(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._save(trainer)

    def _asked(self) -> Interrupted | None:
        """What asks to stop, whichever process it came to."""
        if not highest(self.interruption.requested):
            return None
        return next(filter(None, all_workers(self.interruption.asked)))

    def _save(self, trainer: Trainer) -> None:
        self.before_save(trainer)  # waits for the device: its steps are not counted as saving
        began_s = time.perf_counter()
        disk = trainer.strategy.checkpoint_io
        if self._only_steps and isinstance(disk, AtomicCheckpointIO):
            disk.later = [tensor for one in trainer.optimizers for tensor in changed_by(one)]
        try:
            trainer.save_checkpoint(self.path)
        finally:
            self.seconds += time.perf_counter() - began_s
        self.saved_step = trainer.global_step
        if asked := self._asked():  # also while the state was copied
            self.wait()
            raise asked

    def wait(self) -> None:
        """Until the newest checkpoint is on the disk; all workers wait for it.

        Raises:
            OSError: it could not be written.
        """
        self._writer.wait()
        highest(0)  # the first worker writes


def changed_by(optimizer: Optimizer) -> Iterator[Tensor]:
    """What an optimiser's steps change: its parameters and its state of each."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            yield parameter
            state = optimizer.state.get(parameter, {})
            yield from (value for value in state.values() if isinstance(value, Tensor))
