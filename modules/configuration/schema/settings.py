"""The sections of a configuration that name no class: their keys, types and meaning.

These dataclasses are the schema: a key that is not here is refused, and every field is read by code.
A section such as model, which names its class by `_target_`, is checked against that class instead.
"""

import math
from dataclasses import dataclass, field, fields, is_dataclass
from types import UnionType
from typing import Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

from modules.configuration.errors import ConfigError
from modules.configuration.schema.data_settings import DataSettings, Node
from modules.configuration.schema.execution_settings import RuntimeSettings, SweepSettings
from modules.configuration.schema.expected_settings import ExpectedSettings
from modules.configuration.schema.optimizer_settings import check_optimizer
from modules.configuration.schema.ranges import at_least, named
from modules.configuration.static_analysis.node_check import check_node

Section = TypeVar("Section")

TRACKERS = ("sqlite", "http", "https", "postgresql", "mysql", "mssql", "file")
GIVEN = {"optimizer": ("params",), "task": ("model",)}
"""Keywords that the program adds when it builds a node, by the node's key."""


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
            (but for layers that mix the samples of a batch).
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
    micro_batches: int = 1

    def __post_init__(self) -> None:
        for name in ("max_epochs", "batch_size", "block_steps", "checkpoint_every_steps", "log_every_steps"):
            at_least(1, name, getattr(self, name))
        for name in ("min_steps_per_epoch", "micro_batches"):
            at_least(1, name, getattr(self, name))
        for name in ("samples_per_class", "max_steps", "max_validation_batches", "overfit_batches"):
            if getattr(self, name) is not None:
                at_least(1, name, getattr(self, name))
        for number in self.without_classes:
            at_least(0, "without_classes", number)
        if self.gradient_clip_norm is not None and not 0 < self.gradient_clip_norm < math.inf:
            raise ConfigError(
                "gradient_clip_norm", f"{self.gradient_clip_norm} is no number above 0", "null does not clip"
            )

    def num_epochs(self, steps_per_epoch: int) -> int:
        """The epochs that are trained, where an epoch is no longer than `max_steps`."""
        return min(self.max_epochs, (self.max_steps or self.max_epochs * steps_per_epoch) // steps_per_epoch)


@dataclass(frozen=True)
class FineTuningSettings:
    """How a model that begins from given weights goes on learning.

    Attributes:
        adapter: builds what turns the found weights into the model's; null takes names as they are.
        reinit: beginnings of the names of weights that are initialised again, whatever was found for them.
        frozen_parts: so many of the lowest parts do not learn.
        unfreeze_every_epochs: epochs after which the highest frozen part begins to learn, and again the next
            one (gradual unfreezing: Howard & Ruder 2018, section 3.3, arXiv 1801.06146); null never.
        lr_decay: learning rate of a part, as a factor of that of the part above it that the same step of the
            task learns (discriminative fine-tuning, section 3.2 there).
    """

    adapter: Node | None = None
    reinit: list[str] = field(default_factory=list)
    frozen_parts: int = 0
    unfreeze_every_epochs: int | None = None
    lr_decay: float = 1.0

    def __post_init__(self) -> None:
        at_least(0, "frozen_parts", self.frozen_parts)
        if self.unfreeze_every_epochs is not None:
            at_least(1, "unfreeze_every_epochs", self.unfreeze_every_epochs)
        if not 0 < self.lr_decay <= 1:
            raise ConfigError("lr_decay", f"{self.lr_decay} is not above 0 and at most 1")


@dataclass(frozen=True)
class TrackingSettings:
    """Where runs are tracked.

    Attributes:
        uri: MLflow's tracking URI; null tracks nothing.
        artifact_root: folder of artefacts of a database; null leaves it to the server.
        experiment: MLflow's experiment.
        system_metrics_every_s: seconds between two looks at CPU and memory; 0 takes none.
        drain_timeout_s: seconds the end of a run waits for the tracker.
    """

    uri: str | None
    artifact_root: str | None
    experiment: str
    system_metrics_every_s: float
    drain_timeout_s: float

    def __post_init__(self) -> None:
        at_least(0, "system_metrics_every_s", self.system_metrics_every_s)
        at_least(0, "drain_timeout_s", self.drain_timeout_s)
        scheme, separator, _ = (self.uri or "").partition("://")
        if separator and scheme.partition("+")[0] not in TRACKERS:
            raise ConfigError(
                "uri", f"{self.uri} is of no tracker's kind", f"It can be {', '.join(TRACKERS)}"
            )
        for key in ("uri", "artifact_root", "experiment"):
            if not (getattr(self, key) or "x").isprintable():
                raise ConfigError(key, f"{getattr(self, key)!r} is no printable text")


@dataclass(frozen=True)
class Settings:
    """A whole configuration.

    Attributes:
        name: of the recipe.
        seed: of all random numbers.
        allowed_targets: prefixes of `_target_` allowed besides the yard's own; set in conf/config.yaml alone.
        allowed_environment: variables that `${oc.env:...}` may read; set in conf/config.yaml alone.
        evaluation: evaluators that measure the trained weights: see `modules.evaluation.evaluator`.
        optimizer: a node for all steps of the task, or a mapping from each step's name to its own.
        fine_tuning: how given weights go on learning.
        phases: what is trained before, by name: see `modules.configuration.schema.phases`.
        init_from: where the weights begin: a registered model, a folder with weights.pt or a file.
        teacher: trained models whose answers are soft targets.
        sweep: None in a plan: a recipe's plan is the same however it is searched.
    """

    data: DataSettings
    model: Node
    task: Node
    evaluation: list[Node]
    optimizer: dict[str, Any]
    schedule: Node
    trainer: TrainerSettings
    runtime: RuntimeSettings
    tracking: TrackingSettings
    seed: int
    allowed_targets: list[str]
    name: str
    expected: ExpectedSettings
    fine_tuning: FineTuningSettings
    phases: dict[str, Any] | None
    init_from: str | None
    teacher: list[str]
    sweep: SweepSettings | None = None
    allowed_environment: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        named("name", "recipe", self.name)
        for section in ("model", "task", "schedule"):
            if "_target_" not in getattr(self, section):
                raise ConfigError(section, "has no _target_", "Name the class to build")
        check_optimizer(self.optimizer, self.fine_tuning.lr_decay)
        for number, evaluator in enumerate(self.evaluation):
            if "_target_" not in evaluator:
                raise ConfigError(f"evaluation[{number}]", "has no _target_", "Name the class to build")
        batch_size, num_workers = self.trainer.batch_size, self.runtime.num_workers
        if rest := batch_size % num_workers:
            raise ConfigError(
                "trainer.batch_size",
                f"{batch_size} cannot be shared evenly by runtime.num_workers={num_workers}",
                f"Set it to {max(batch_size - rest, num_workers)}, for example",
            )
        order, sizes = self.trainer.order, self.data.typical_sizes
        if order.kind == "stream" and sizes and order.window > max(sizes.values()):
            raise ConfigError(
                "trainer.order.window",
                f"{order.window} steps, and a sample of {self.data.name} has about {max(sizes.values())}",
                f"Set it to {max(sizes.values())} or less: no window holds two samples",
            )
        if not 0 <= self.seed < 2**32:
            raise ConfigError("seed", f"{self.seed} is not between 0 and {2**32 - 1}")


def read(section: type[Section], values: dict[str, Any], key: str = "") -> Section:
    """Makes a section of settings from plain values, checked.

    Args:
        section: one of the dataclasses above.
        values: its keys and values.
        key: where the values stand in the configuration, for messages.

    Raises:
        ConfigError: a key is unknown or missing, or a value is of the wrong type or out of range.
    """
    target = f"{section.__module__}.{section.__name__}"
    if not isinstance(values, dict):
        raise ConfigError(key, f"{values!r} where a mapping ({section.__name__}) is expected")
    optimizer = values.get("optimizer")
    by_step = optimizer if isinstance(optimizer, dict) and "_target_" not in optimizer else {}
    given = GIVEN | {f"optimizer.{name}": GIVEN["optimizer"] for name in by_step}
    check_node(key, {"_target_": target, **values}, given)
    return construct(section, values, key)


def construct(section: type[Section], values: dict[str, Any], key: str = "") -> Section:
    """Makes a section of values whose keys and types were checked before; ranges are checked here.

    Raises:
        ConfigError: a value is out of range.
    """
    hints = get_type_hints(section)
    chosen = {}
    for keyword in fields(section):  # pyright: ignore[reportArgumentType]
        name = keyword.name.removesuffix("_")
        if name in values:
            chosen[keyword.name] = _nested(
                hints[keyword.name], values[name], f"{key}.{name}" if key else name
            )
    try:
        return section(**chosen)
    except ConfigError as fault:
        raise ConfigError(f"{key}.{fault.key}" if key else fault.key, fault.found, fault.hint) from None


def _nested(hint: Any, value: Any, key: str) -> Any:
    if isinstance(hint, UnionType) and isinstance(value, dict):
        hint = next((kind for kind in get_args(hint) if is_dataclass(kind)), hint)
    if is_dataclass(hint) and isinstance(value, dict):
        return construct(cast(type, hint), value, key)
    if get_origin(hint) is dict and is_dataclass(get_args(hint)[1]):
        return {name: construct(get_args(hint)[1], item, f"{key}.{name}") for name, item in value.items()}
    return value
