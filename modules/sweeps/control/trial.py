"""One trial of a sweep, as far as it has come."""

from dataclasses import dataclass, field

from modules.configuration.plans.run_plan import Plan
from modules.sweeps.search.search_space import Point

ENDED = ("FINISHED", "REUSED", "STOPPED", "FAILED", "REFUSED")


@dataclass
class Trial:
    """One trial.

    Attributes:
        number: 0, 1, 2... in the order in which they were asked for.
        point: what sets it apart; of a population's member, at present.
        identity: of its run.
        status: WAITING, RUNNING, or one of `ENDED`.
        curve: the metric after each epoch that was reported.
        answers: what was decided after each of these epochs.
        exploit: the epoch and the donor of the last takeover, if its checkpoint is not yet handed over.
        num_starts: how often it was started.
        num_lost: how often its worker died.
        value: of the metric, once ended.
        reason: why it ended so; empty if it was simply trained.
        of_machine: whether it failed by no fault of its own, such as a full disk.
        seconds: that it was trained for.
        cpu_hours: that its run held, without its phases; 0 where it was trained before.
        gpu_hours: likewise.
        started_s: when it was last started.
        plan: once it is composed.
    """

    number: int
    point: Point
    identity: str
    status: str = "WAITING"
    curve: dict[int, float] = field(default_factory=dict)
    answers: dict[int, str] = field(default_factory=dict)
    exploit: tuple[int, int] | None = None
    num_starts: int = 0
    num_lost: int = 0
    value: float | None = None
    reason: str = ""
    of_machine: bool = False
    seconds: float = 0.0
    cpu_hours: float = 0.0
    gpu_hours: float = 0.0
    started_s: float = 0.0
    plan: Plan | None = None

    @property
    def epoch(self) -> int:
        """How many epochs were reported."""
        return max(self.curve, default=0)

    @property
    def last(self) -> float | None:
        """The metric after the last of them."""
        return self.curve[self.epoch] if self.curve else None

    @property
    def has_ended(self) -> bool:
        return self.status in ENDED
