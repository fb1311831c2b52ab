"""The sections `trainer` (how long to train, in what order, what to keep and when to stop) and `profiler`."""

import math
from dataclasses import dataclass, field
from typing import Literal

from modules.configuration.errors import ConfigError
from modules.configuration.schema.ranges import at_least


@dataclass(frozen=True)
class OrderSettings:
    """The order in which training takes the samples; each a pure function of seed and epoch.

    Attributes:
        kind: shuffled; bucketed, where the samples of a batch are about equally long; or stream, where long
            samples are cut into windows and a state goes on from batch to batch.
        window: of a stream, the steps that gradients go back through (truncated backpropagation).
        max_tokens: most tokens of a batch of one process, padding included; null sets no bound.
        window_shards: samples are shuffled within so many shards at a time, which are shuffled too; null
            shuffles over all. No more of a dataset than two such windows is then read at once.
    """

    kind: Literal["shuffled", "bucketed", "stream"] = "shuffled"
    window: int = 100
    max_tokens: int | None = None
    window_shards: int | None = None

    def __post_init__(self) -> None:
        at_least(1, "window", self.window)
        if self.max_tokens is not None:
            at_least(1, "max_tokens", self.max_tokens)
        if self.window_shards is not None:
            at_least(1, "window_shards", self.window_shards)
            if self.kind == "stream":
                raise ConfigError(
                    "window_shards",
                    f"{self.window_shards} with kind=stream, whose strands read all shards at once",
                    "Set it to null",
                )


@dataclass(frozen=True)
class KeepSettings:
    """What of a training is kept besides its newest state.

    Attributes:
        best: so many epochs' weights, those with the best `trainer.monitor`. With one or more, the run's
            weights.pt is the best and weights_last.pt the last.
        last: newest checkpoints; those behind the first take its place where it is damaged.
        every_epochs: keep the weights of every so many epochs as well; null keeps none.
    """

    best: int = 0
    last: int = 2
    every_epochs: int | None = None

    def __post_init__(self) -> None:
        at_least(0, "best", self.best)
        at_least(1, "last", self.last)
        if self.every_epochs is not None:
            at_least(1, "every_epochs", self.every_epochs)


@dataclass(frozen=True)
class EarlyStoppingSettings:
    """When a training that no longer gets better is ended.

    Attributes:
        patience: epochs in a row without a better `trainer.monitor` after which training ends.
        min_delta: by how much a value must be better to count.
    """

    patience: int
    min_delta: float = 0.0

    def __post_init__(self) -> None:
        at_least(1, "patience", self.patience)
        if not 0 <= self.min_delta < math.inf:
            raise ConfigError("min_delta", f"{self.min_delta} is no number of 0 or more")


@dataclass(frozen=True)
class TrainerSettings:
    """How long to train and how often to look up.

    Attributes:
        max_epochs: passes over the training split.
        batch_size: samples in one optimiser step, over all processes.
        block_steps: optimiser steps in one call from Lightning; 1 is Lightning's own loop.
        checkpoint_every_steps: optimiser steps between two checkpoints.
        log_every_steps: optimiser steps between two logged training losses.
        log_gradient_norms: whether the norm of each layer's gradient is logged as well; costs a little time.
        gradient_clip_norm: largest norm of the gradient; null leaves it as it is.
        precision: Lightning's name of the arithmetic.
        samples_per_class: train on so many samples of each class, sampled by the seed; null on all.
        without_classes: numbers of classes that training leaves out.
        min_steps_per_epoch: an epoch goes over the samples as often as so many steps take.
        max_steps: most optimiser steps to take, in whole epochs or a shorter one; null takes all.
        max_validation_batches: batches of one validation; null takes the whole split.
        overfit_batches: learn so many batches by heart, without dropout, augmentation and weight decay; null
            learns all.
        order: in which the samples come.
        micro_batches: parts that a batch is computed in, one after another: less memory for the same step
            (but for layers that mix the samples of a batch). auto begins with one, and has twice as many
            whenever memory runs out.
        keep: what is kept besides the newest state.
        monitor: validation curve by which the best epoch is told and training stopped early; null is the
            recipe's expected metric where the task validates it, else validation/loss. The task says whether
            more or less of it is better.
        early_stopping: ends a training that no longer gets better; null never does.
        ema_decay: of an exponential moving average of the weights over the optimiser steps (Polyak & Juditsky
            1992, *Acceleration of stochastic approximation by averaging*), which is what is validated, kept
            and evaluated; null averages nothing.
        compile: whether the model is compiled (torch.compile): a minute at the start, other bits, and faster
            steps where the model is made of many small operations. Needs a C++ compiler.
        activation_checkpointing: classes of the model's parts, such as ResidualBlock, whose activations are
            computed again in the backward pass: less memory, more time.
    """

    max_epochs: int
    batch_size: int
    block_steps: int
    checkpoint_every_steps: int
    log_every_steps: int
    log_gradient_norms: bool
    gradient_clip_norm: float | None
    precision: Literal["32-true", "16-mixed", "bf16-mixed", "bf16-true", "64-true"]
    samples_per_class: int | None
    without_classes: list[int]
    min_steps_per_epoch: int
    max_steps: int | None
    max_validation_batches: int | None
    overfit_batches: int | None
    order: OrderSettings = field(default_factory=OrderSettings)
    micro_batches: int | Literal["auto"] = 1
    keep: KeepSettings = field(default_factory=KeepSettings)
    monitor: str | None = None
    early_stopping: EarlyStoppingSettings | None = None
    ema_decay: float | None = None
    compile: bool = False
    activation_checkpointing: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("max_epochs", "batch_size", "block_steps", "checkpoint_every_steps", "log_every_steps"):
            at_least(1, name, getattr(self, name))
        at_least(1, "min_steps_per_epoch", self.min_steps_per_epoch)
        if not isinstance(self.micro_batches, str):
            at_least(1, "micro_batches", self.micro_batches)
        for name in ("samples_per_class", "max_steps", "max_validation_batches", "overfit_batches"):
            if getattr(self, name) is not None:
                at_least(1, name, getattr(self, name))
        for number in self.without_classes:
            at_least(0, "without_classes", number)
        if self.gradient_clip_norm is not None and not 0 < self.gradient_clip_norm < math.inf:
            raise ConfigError(
                "gradient_clip_norm", f"{self.gradient_clip_norm} is no number above 0", "null does not clip"
            )

        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ConfigError("ema_decay", f"{self.ema_decay} is not between 0 and 1", "Try 0.999")

    @property
    def monitors(self) -> bool:
        """Whether anything is decided by a validation curve."""
        return self.keep.best > 0 or self.early_stopping is not None

    def num_epochs(self, steps_per_epoch: int) -> int:
        """The epochs that are trained, where an epoch is no longer than `max_steps`."""
        return min(self.max_epochs, (self.max_steps or self.max_epochs * steps_per_epoch) // steps_per_epoch)


@dataclass(frozen=True)
class ProfilerSettings:
    """What of a training is profiled; written into the run's folder, `profile/`.

    Attributes:
        kind: simple is a table of the seconds of Lightning's actions; pytorch are the operations of some
            blocks of steps, as a table and as a trace.
        num_skipped_blocks: of pytorch, blocks before the first that is recorded; the last warms up.
        num_blocks: of pytorch, blocks that are recorded.
    """

    kind: Literal["simple", "pytorch"]
    num_skipped_blocks: int = 2
    num_blocks: int = 3

    def __post_init__(self) -> None:
        at_least(0, "num_skipped_blocks", self.num_skipped_blocks)
        at_least(1, "num_blocks", self.num_blocks)
