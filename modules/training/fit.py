"""One training: builds what a plan names, lets Lightning's Trainer run it, and writes what came of it.

All that a resumed run needs is in the run folder's one checkpoint: model, optimiser, place in the data,
random numbers, curves, place in Lightning's loops. A run that is killed, by whatever signal at whatever
moment, ends with the weights of an uninterrupted one when it is started again.
"""

import logging
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_fabric.utilities.exceptions import MisconfigurationException
from pytorch_lightning import Callback, LightningModule, Trainer
from rich.console import Console
from torch import Tensor

from modules.bricks.field_standardisation import FieldStandardisation
from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.configuration.static_analysis.targets import build
from modules.datamodules.blocks import Block
from modules.datamodules.shard_loader import EvaluationLoader
from modules.datamodules.shard_set import ShardSet
from modules.datamodules.statistics_of_fields import read_statistics
from modules.tasks.build_task import build_task
from modules.tasks.optional_methods import KnowsSamples
from modules.tasks.task import Task
from modules.training.activation_checkpointing import recompute_activations
from modules.training.averaged_weights import AveragedWeights
from modules.training.compilation import compile_model
from modules.training.data_parallel import DataParallelStrategy, world_size
from modules.training.fine_tuning import Freezing
from modules.training.monitoring.curves import Curves, LossCurve, MetricSink
from modules.training.monitoring.gradient_norms import GradientNorms
from modules.training.monitoring.profiling import lightning_profiler
from modules.training.monitoring.progress import ProgressDisplay
from modules.training.overfitting import without_regularisation
from modules.training.own_callbacks import own_callbacks
from modules.training.preparation import begin, optimizer_builder, true_dtype
from modules.training.random_state import RandomState, seed_all
from modules.training.ray_workers.communication import Communication
from modules.training.runs.checkpoint import AtomicCheckpointIO, CheckpointSaver, go_back
from modules.training.runs.checkpoint_schema import RESTORING, CheckpointError, does_not_fit
from modules.training.runs.checkpoint_writer import CheckpointWriter
from modules.training.runs.freed_memory import keep_freed_memory, return_freed_memory
from modules.training.runs.interruption import Interruption
from modules.training.selection import selection_of
from modules.training.sharding.sharded_strategy import ShardedStrategy
from modules.training.sharding.sharded_task import ShardedTask, shard
from modules.training.sharding.whole_tensors import whole_state
from modules.training.training_step import Optimisation, TrainingModule, unstack


class BlockLoader(Protocol):
    """What training needs of a loader: blocks of raw fields, and a place in them that can be kept."""

    steps_per_epoch: int

    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[Block]: ...
    def set_epoch(self, epoch: int) -> None: ...
    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> None: ...


class EpochOrder(Callback):
    """Tells the loader which epoch begins.

    Lightning itself does that for samplers only, and restores no loader's place at the end of an epoch.

    Args:
        loader: the blocks of the training split.
    """

    def __init__(self, loader: BlockLoader) -> None:
        self.loader = loader

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.loader.set_epoch(trainer.current_epoch)


def initial_task(plan: Plan) -> Task:
    """Builds the plan's model inside its task, with the initial weights that its seed gives, and what of
    its data's statistics and samples they hold."""
    seed_all(plan.seed, stream=0)
    task = build_task(plan.model, plan.task)
    if isinstance(task, KnowsSamples):
        split = ShardSet.open(plan.shards, plan.data).split(task.known_split)
        (samples,) = EvaluationLoader(split, split.num_samples)
        task.know(samples)
    for module in task.model.modules():
        if isinstance(module, FieldStandardisation):
            module.take(read_statistics(plan.shards, module.field))
    return task


def first_batch(loader: BlockLoader) -> dict[str, Tensor]:
    """The batch that a loader gives next, and will give again."""
    place = loader.state_dict()
    batch = next(unstack(next(iter(loader))))
    loader.load_state_dict(place)
    return batch


def fit(
    plan: Plan,
    training: BlockLoader,
    validation: Iterable[dict[str, Tensor]] | None,
    checkpoint: Path,
    sink: MetricSink | None = None,
    console: Console | None = None,
    callbacks: Sequence[Callback] = (),
    interruption: Interruption | None = None,
) -> tuple[Task, Curves, dict[str, Any]]:
    """Trains, from the checkpoint on if there is one.

    Args:
        plan: the resolved configuration.
        training: blocks of the training split.
        validation: batches of the validation split; None leaves validation out.
        checkpoint: file that is resumed from, and written again and again.
        sink: gets every point of the learning curves.
        console: where progress is shown; by default standard error.
        callbacks: Lightning callbacks of one's own.
        interruption: asks to save and stop; by default what signals ask of this process.

    Returns:
        The trained task (of a sharded training whole in the first process alone), its curves, and figures of
        this session: seconds, seconds_total, steps, epochs, samples_per_s, num_workers; of several workers
        also seconds_per_step, gradient_bytes_per_step and, unless sharded, communication_seconds_per_step.

    Raises:
        UserError: the training diverged, and the last good checkpoint is kept; or Lightning cannot train so.
        Interrupted: a signal asked to stop; the state is in the checkpoint.
    """
    console = console or Console(stderr=True)
    rest = (sink, console, callbacks, interruption)
    try:
        return _fit(plan, training, validation, checkpoint, *rest)
    except CheckpointError as error:
        if world_size() > 1 or not go_back(checkpoint):
            raise
        told = f"{error.problem}: going on from the checkpoint before, and the damaged one is kept beside it"
        console.print(told, highlight=False, soft_wrap=True, markup=False)
        training.load_state_dict({"epoch": 0, "step": 0})
    return _fit(plan, training, validation, checkpoint, *rest)


def _fit(
    plan: Plan,
    training: BlockLoader,
    validation: Iterable[dict[str, Tensor]] | None,
    checkpoint: Path,
    sink: MetricSink | None,
    console: Console,
    callbacks: Sequence[Callback],
    interruption: Interruption | None,
) -> tuple[Task, Curves, dict[str, Any]]:
    settings = plan.trainer
    runtime = plan.runtime
    num_epochs = settings.num_epochs(training.steps_per_epoch)
    num_steps = training.steps_per_epoch * num_epochs
    is_sharded = runtime.sharding == "fsdp2" and world_size() > 1
    _ = return_freed_memory() if is_sharded else keep_freed_memory()
    task = initial_task(plan)
    if settings.overfit_batches is not None:
        without_regularisation(task)
    begun = begin(task, plan, console)
    task.to(dtype=true_dtype(settings.precision))  # a checkpoint that is restored loses nothing
    recompute_activations(task.model, settings.activation_checkpointing)
    if settings.compile:
        compile_model(task.model)
    sharded: ShardedTask | None = None
    if is_sharded:
        sharded = shard(task, plan, first_batch(training))
    fine_tuning = plan.fine_tuning
    average = None if settings.ema_decay is None else AveragedWeights(task.model, settings.ema_decay)
    module = TrainingModule(
        task,
        Optimisation(
            build_optimizer=optimizer_builder(task, plan),
            schedule=build(plan.schedule),
            num_steps=num_steps,
            block_steps=settings.block_steps,
            gradient_clip_norm=settings.gradient_clip_norm,
            micro_batches=settings.micro_batches,
        ),
        average,
        sharded,
    )
    curves = Curves(sink, lambda: module.global_step)
    losses = LossCurve(module, curves, settings.log_every_steps)
    progress = ProgressDisplay(console, curves, settings.batch_size, num_steps)
    chosen: list[Callback] = []
    if fine_tuning.frozen_parts:
        chosen.append(Freezing(task.model, fine_tuning))
    if settings.log_gradient_norms:
        chosen.append(GradientNorms(task.model, curves, settings.log_every_steps))
    if average is not None:
        chosen.append(average)
    if module.micro_batches.is_auto:
        chosen.append(module.micro_batches)
    profile = checkpoint.parent.with_name("profile")
    selection = selection_of(
        plan,
        checkpoint.parent,
        None if validation is None else curves,
        average.weights if average is not None else lambda: whole_state(task.model.state_dict()),
        losses.check_weights,
    )
    strategy, shared = "auto", []
    if world_size() > 1:
        if sharded is not None:
            strategy = ShardedStrategy(sharded)
        else:
            strategy = DataParallelStrategy([step.parameters for step in module.steps], module.turns)
        shared = [Communication(strategy, curves, settings.log_every_steps)]
    with interruption or Interruption() as interruption, _quiet_lightning():

        def before_save(trainer: Trainer) -> None:
            losses.check_weights(trainer)
            curves.flush()

        every_steps, writer = settings.checkpoint_every_steps, CheckpointWriter()
        others = own_callbacks(plan, profile)
        known = all(type(one).__module__.startswith("modules.") for one in (*callbacks, *others))
        only_steps = known and sharded is None  # a callback from elsewhere may change weights at any time
        saver = CheckpointSaver(checkpoint, every_steps, before_save, interruption, writer, only_steps)
        try:
            trainer = Trainer(
                accelerator=runtime.accelerator,
                devices=1,
                strategy=strategy,
                precision=settings.precision,
                max_epochs=num_epochs,
                limit_val_batches=0 if validation is None else settings.max_validation_batches,
                num_sanity_val_steps=0,
                logger=curves,
                log_every_n_steps=max(
                    1, min(len(training), settings.log_every_steps // settings.block_steps)
                ),
                callbacks=[
                    EpochOrder(training),
                    RandomState(plan.seed),
                    losses,
                    *chosen,
                    *shared,
                    *selection.callbacks,
                    progress,
                    saver,
                    *callbacks,
                    *others,
                ],
                profiler=lightning_profiler(plan.profiler, profile),
                # Signals and requeueing are handled here, not by Lightning's SLURM support.
                plugins=[AtomicCheckpointIO(writer, settings.keep.last), LightningEnvironment()],
                enable_progress_bar=False,
                enable_model_summary=False,
            )
            trainer.fit(
                module,
                train_dataloaders=training,
                val_dataloaders=validation,
                ckpt_path=checkpoint if checkpoint.exists() else None,
                weights_only=True,
            )
            writer.wait()
            losses.means.finish(trainer.global_step)
            curves.flush()
        except MisconfigurationException as error:
            raise UserError(" ".join(str(error).split())) from error
        except RESTORING as error:
            if interruption.repeated:  # torch hides what a signal handler raises while it writes a file
                interruption.stop()
            if checkpoint.exists() and not saver.is_training:
                raise does_not_fit(checkpoint, error) from error
            raise
        finally:
            if not interruption.repeated:
                writer.end()
    if average is not None:
        average.take_over()
    if sharded is not None:
        task = sharded.whole(lambda: initial_task(plan))
    figures = {
        "seconds": progress.seconds,
        "seconds_total": progress.seconds_total,
        "steps": trainer.global_step,
        "epochs": trainer.global_step // training.steps_per_epoch,
        "samples_per_s": progress.samples_per_s(trainer),
        "num_workers": world_size(),
        **({"initial_weights": begun} if begun else {}),
        **({"sharding": runtime.sharding} if sharded is not None else {}),
        **selection.figures(),
        **({"micro_batches": module.micro_batches.num_parts} if module.micro_batches.is_auto else {}),
    }
    for callback in shared:
        figures |= callback.figures(trainer)
    return task, curves, figures


@contextmanager
def _quiet_lightning() -> Iterator[None]:
    """Lightning's advertisements and notices stay out of the user's terminal; warnings come through."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            # Lightning 2.6 asks torch 2.13 for a tree in its old way.
            warnings.filterwarnings("ignore", message=".*LeafSpec", category=FutureWarning)
            warnings.filterwarnings("ignore", message=".*have no `val_dataloader`")  # validation left out
            # On a cluster's login node; processes are started by other means here.
            warnings.filterwarnings("ignore", message="The `srun` command is available")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
