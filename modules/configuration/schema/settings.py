"""The sections of a configuration that name no class: their keys, types and meaning.

These dataclasses are the schema: a key that is not here is refused, and every field is read by code.
A section such as model, which names its class by `_target_`, is checked against that class instead.
"""

from dataclasses import dataclass, field, fields, is_dataclass
from types import UnionType
from typing import Any, TypeVar, cast, get_args, get_origin, get_type_hints

from modules.configuration.errors import ConfigError
from modules.configuration.names import suggest
from modules.configuration.schema.data_settings import DataSettings, Node
from modules.configuration.schema.execution_settings import RuntimeSettings, SweepSettings
from modules.configuration.schema.expected_settings import ExpectedSettings
from modules.configuration.schema.optimizer_settings import check_optimizer
from modules.configuration.schema.ranges import at_least, named
from modules.configuration.schema.sharding import check_sharding
from modules.configuration.schema.trainer_settings import ProfilerSettings, TrainerSettings
from modules.configuration.static_analysis.class_attributes import validation_metrics
from modules.configuration.static_analysis.node_check import check_node

Section = TypeVar("Section")

TRACKERS = ("sqlite", "http", "https", "postgresql", "mysql", "mssql", "file")
GIVEN = {"optimizer": ("params",), "task": ("model",)}
"""Keywords that the program adds when it builds a node, by the node's key."""


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
        callbacks: Lightning callbacks of one's own by any name.
        profiler: what is profiled; null is nothing.
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
    callbacks: dict[str, Node] = field(default_factory=dict)
    profiler: ProfilerSettings | None = None

    def __post_init__(self) -> None:
        named("name", "recipe", self.name)
        for section in ("model", "task", "schedule"):
            if "_target_" not in getattr(self, section):
                raise ConfigError(section, "has no _target_", "Name the class to build")
        check_optimizer(self.optimizer, self.fine_tuning.lr_decay)
        for number, evaluator in enumerate(self.evaluation):
            if "_target_" not in evaluator:
                raise ConfigError(f"evaluation[{number}]", "has no _target_", "Name the class to build")
        for name, callback in self.callbacks.items():
            if "_target_" not in callback:
                raise ConfigError(f"callbacks.{name}", "has no _target_", "Name the class to build")
        batch_size, num_workers = self.trainer.batch_size, self.runtime.fewest_workers
        if rest := batch_size % num_workers:
            raise ConfigError(
                "trainer.batch_size",
                f"{batch_size} cannot be shared evenly by {num_workers} workers",
                f"Set it to {max(batch_size - rest, num_workers)}, for example",
            )
        every_epochs = self.fine_tuning.unfreeze_every_epochs
        check_sharding(self.runtime, self.trainer, every_epochs, self.optimizer)
        order, sizes = self.trainer.order, self.data.typical_sizes
        if order.kind == "stream" and sizes and order.window > max(sizes.values()):
            raise ConfigError(
                "trainer.order.window",
                f"{order.window} steps, and a sample of {self.data.name} has about {max(sizes.values())}",
                f"Set it to {max(sizes.values())} or less: no window holds two samples",
            )
        if not 0 <= self.seed < 2**32:
            raise ConfigError("seed", f"{self.seed} is not between 0 and {2**32 - 1}")
        if self.trainer.monitors or self.trainer.monitor is not None:
            _ = self.monitored

    @property
    def monitored(self) -> tuple[str, str]:
        """The validation curve of `trainer.monitor`, and whether "max" or "min" of it is better.

        Raises:
            ConfigError: the task does not log it.
        """
        task = self.task["_target_"]
        measured = validation_metrics(task)
        expected = f"validation/{self.expected.metric}"
        metric = self.trainer.monitor or (expected if expected in measured else "validation/loss")
        if metric not in measured:
            found = f"{task.rpartition('.')[2]} logs no {metric!r}"
            raise ConfigError("trainer.monitor", found, suggest(metric, measured))
        return metric, measured[metric]


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
