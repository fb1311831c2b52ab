"""The sections that say where training runs and how a sweep searches; no result depends on where."""

import math
import re
from dataclasses import dataclass, field
from typing import Any, Literal

from modules.configuration.errors import ConfigError
from modules.configuration.names import suggest
from modules.configuration.schema.on_failure import check_on_failure
from modules.configuration.schema.ranges import at_least


@dataclass(frozen=True)
class RuntimeSettings:
    """Where training runs; no result depends on it but for rounding, by threads, workers and accelerator.

    What does depend on num_workers: random numbers over samples that differ in size, or with
    trainer.micro_batches, and batch normalisation, which takes the statistics of each worker's share.

    Attributes:
        backend: local trains in this process, ray in processes of a Ray cluster.
        accelerator: Lightning's name of the device; auto takes what is there.
        num_threads: threads of arithmetic; null is one for each core.
        num_loader_workers: processes that read data beside the training process; 0 reads in it.
        address: of the Ray cluster: null starts one on this machine, auto takes the one this process runs in.
        num_workers: processes that train one model together, each on its share of every batch.
        min_workers: a run is trained by as many workers between this and num_workers as there is room for,
            more or fewer when nodes come, leave or die; null is always num_workers.
        worker_timeout_s: seconds without a sign of life from a worker, such as one that was suspended, or in
            which the others wait for one whose training stands at one instruction, after which the run goes
            on from its checkpoint without it. More where a single operation may take so long.
        cpus_per_worker: cores that Ray sets aside for each of them.
        gpus_per_worker: GPUs that Ray sets aside for each of them.
        max_restarts: times that a run goes on from its checkpoint after a worker or node has died.
        storage: folder that holds runs, sweeps and shards; every node must see it.
        sharding: fsdp2 leaves each worker a shard of weights, gradients and optimiser states, none the whole
            of them.
        replay: what becomes of a run that is there when code which carries trainings, but should change no
            bit, has changed since: check computes its first steps again and compares the weights, skip keeps
            it unseen, retrain trains it again.
        price_per_hour: of all that a run holds (this machine, or its job's nodes together), in whatever
            money; null is not known. A submitted job gets it from its cluster's.
        on_failure: a command that gets a JSON on its standard input, or an address of http(s):// to which it
            is posted, when a training or a sweep fails; null is none.
    """

    backend: Literal["local", "ray"]
    accelerator: Literal["auto", "cpu", "gpu", "cuda", "mps", "tpu"]
    num_threads: int | None
    num_loader_workers: int
    address: str | None
    num_workers: int
    cpus_per_worker: float
    gpus_per_worker: float
    max_restarts: int
    storage: str
    replay: Literal["check", "skip", "retrain"]
    price_per_hour: float | None = None
    on_failure: str | None = None
    min_workers: int | None = None
    worker_timeout_s: float = 90.0
    sharding: Literal["none", "fsdp2"] = "none"

    def __post_init__(self) -> None:
        if self.num_threads is not None:
            at_least(1, "num_threads", self.num_threads)
        at_least(1, "num_workers", self.num_workers)
        if self.min_workers is not None:
            at_least(1, "min_workers", self.min_workers)
            if self.min_workers > self.num_workers:
                found = f"{self.min_workers}, and num_workers={self.num_workers}"
                raise ConfigError("min_workers", found, "Write the most as num_workers")
        if not 1 <= self.worker_timeout_s < math.inf:
            raise ConfigError("worker_timeout_s", f"{self.worker_timeout_s} is no number of seconds above 1")
        for name in ("num_loader_workers", "cpus_per_worker", "gpus_per_worker", "max_restarts"):
            at_least(0, name, getattr(self, name))
        price = self.price_per_hour
        if price is not None and not 0 <= price < math.inf:
            raise ConfigError("price_per_hour", f"{price} is no price", "Give 0 or more, or null")
        if self.on_failure is not None:
            check_on_failure(self.on_failure)
        if not self.storage.strip() or not self.storage.isprintable():
            raise ConfigError("storage", f"{self.storage!r} names no folder", "Write . for this one")
        if self.backend == "local" and self.num_workers > 1:
            raise ConfigError(
                "num_workers", f"{self.num_workers} where one process trains", "Add runtime=ray"
            )
        if self.sharding != "none" and self.num_workers == 1:
            raise ConfigError(
                "sharding",
                f"{self.sharding} where one worker would hold all shards",
                "Add runtime=ray runtime.num_workers=2, or more",
            )
        if self.gpus_per_worker > 1:
            found = f"{self.gpus_per_worker:g}, but a worker trains on one"
            raise ConfigError("gpus_per_worker", found, "Raise num_workers instead")
        if self.backend == "ray" and self.accelerator in ("gpu", "cuda") and not self.gpus_per_worker:
            raise ConfigError("gpus_per_worker", f"0 for accelerator={self.accelerator}", "Set it to 1")

    @property
    def fewest_workers(self) -> int:
        """That have to be there for a run to be trained."""
        return self.num_workers if self.min_workers is None else self.min_workers

    @property
    def each_worker(self) -> dict[str, float]:
        """What a worker takes, by Ray's names, CPU and GPU; without what it takes nothing of."""
        takes = {"CPU": self.cpus_per_worker, "GPU": self.gpus_per_worker}
        return {resource: number for resource, number in takes.items() if number}


_PART = re.compile(r"([1-9]\d{0,5})/([1-9]\d{0,5})")


@dataclass(frozen=True)
class SweepSettings:
    """How a sweep chooses its points and which of them it stops early.

    Attributes:
        search: grid takes every point, random samples them, optuna learns from the results so far.
        scheduler: none trains each trial to its end, asha stops the worse early, pbt copies the better.
        num_trials: how many; null is the whole grid.
        max_concurrent: trials at a time; null is what fits.
        metric: what is compared; null is the recipe's expected metric on the validation split.
        mode: whether more or less of it is better; null is what the task says.
        impossible: what becomes of a point whose shapes do not agree: refuse ends the sweep before its start.
        max_retries: times that a trial goes on after its worker or node has died.
        retry_failed: whether the same command tries again what has failed, as it always does with what failed
            by the machine's fault, such as a full disk.
        stack: whether trials that differ in numbers alone train as one program.
        grace_epochs: epochs that asha leaves every trial.
        reduction_factor: of asha: one in so many goes on to the next rung.
        perturb_every_epochs: epochs between two of pbt's exchanges.
        quantile: share of the population that pbt replaces, and share that it copies.
        seed: of the search's random numbers.
        part: such as 2/8: every eighth trial from the second on, without Ray; null is all of them.
    """

    search: Literal["grid", "random", "optuna"]
    scheduler: Literal["none", "asha", "pbt"]
    num_trials: int | None
    max_concurrent: int | None
    metric: str | None
    mode: Literal["max", "min"] | None
    impossible: Literal["refuse", "skip"]
    max_retries: int
    retry_failed: bool
    stack: bool
    grace_epochs: int
    reduction_factor: int
    perturb_every_epochs: int
    quantile: float
    seed: int
    part: str | None = None

    def __post_init__(self) -> None:
        if self.part is not None:
            self._check_part()
        for name in ("num_trials", "max_concurrent"):
            if (value := getattr(self, name)) is not None:
                at_least(1, name, value)
        for name in ("grace_epochs", "perturb_every_epochs"):
            at_least(1, name, getattr(self, name))
        at_least(2, "reduction_factor", self.reduction_factor)
        at_least(0, "max_retries", self.max_retries)
        if not 0 < self.quantile <= 0.5:
            raise ConfigError("quantile", f"{self.quantile} is not above 0 and at most 0.5")

    def part_of(self) -> tuple[int, int] | None:
        """The number of the part, from 1, and of how many."""
        found = _PART.fullmatch(self.part or "")
        return found and (int(found[1]), int(found[2]))

    def _check_part(self) -> None:
        part = self.part_of()
        if part is None:
            raise ConfigError("part", f"{self.part!r} is no part", "Write 2/8 for the second of eight")
        if part[0] > part[1]:
            raise ConfigError("part", f"{self.part}: there are {part[1]}")
        for key, learns, good in (
            ("search", self.search == "optuna", "grid or random"),
            ("scheduler", self.scheduler != "none", "none"),
        ):
            if learns:
                told = f"{self.part}: {key}={getattr(self, key)} goes by the results of other trials"
                raise ConfigError("part", told, f"Set sweep.{key}={good}")

    def with_effect(self) -> dict[str, Any]:
        """The settings that decide which points are tried and how long; one more trial is the same sweep."""
        names = ["search", "scheduler"]
        if self.search != "grid" or self.scheduler == "pbt":
            names.append("seed")
        if self.scheduler == "asha":
            names += ["grace_epochs", "reduction_factor"]
        if self.scheduler == "pbt":
            names += ["num_trials", "perturb_every_epochs", "quantile"]
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class ChartSettings:
    """How the report shows a space: one line a series, the mean over all other axes against one of them.

    Attributes:
        title: above it.
        caption: what is to be seen, in a sentence or two.
        x: axis of the space that goes across; its `null` stands at the right end and is called "all".
        series: axis, or axes, each of whose values has a line of its own; an empty list draws one line.
        y: metric that is compared; null is the sweep's.
        log_x: whether x is logarithmic.
        labels: what to call a value of an axis, by the value's text.
    """

    title: str
    caption: str
    x: str
    series: str | list[str]
    y: str | None = None
    log_x: bool = False
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def series_keys(self) -> list[str]:
        return [self.series] if isinstance(self.series, str) else self.series


@dataclass(frozen=True)
class SpaceSettings:
    """A search space of its own, conf/space/<name>.yaml, for DVC.

    Attributes:
        name: of the file.
        recipe: that is searched.
        sweep: how, one of conf/sweep.
        overrides: the same for every point.
        axes: overrides that span the space.
        chart: how the report shows it; null is not at all.
    """

    name: str
    recipe: str
    sweep: str
    overrides: list[str]
    axes: list[str]
    chart: ChartSettings | None = None

    def __post_init__(self) -> None:
        if self.chart is None:
            return
        keys = [axis.partition("=")[0] for axis in self.axes]
        named = [("x", self.chart.x), *(("series", key) for key in self.chart.series_keys)]
        for place, key in named:
            if key not in keys:
                raise ConfigError(f"chart.{place}", f"{key!r} is no axis of the space", suggest(key, keys))
        if self.chart.x in self.chart.series_keys:
            raise ConfigError("chart.series", f"{self.chart.x!r} goes across already")
