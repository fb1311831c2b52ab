"""The trials of a sweep as its ledger tells them: every change is written there before it is acted on.

Search and scheduler are state machines without a clock, so playing the ledger back puts them, too, where they
were when the last driver ended.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from modules.configuration.errors import UserError
from modules.configuration.plans.identity import identities, identity
from modules.configuration.plans.run_plan import Plan
from modules.sweeps.control.ledger import Event, Ledger
from modules.sweeps.control.sweep_setup import Sweep
from modules.sweeps.control.trial import Trial
from modules.sweeps.schedulers.decisions import Decision, Exploit
from modules.sweeps.schedulers.scheduler import make_scheduler
from modules.sweeps.search.search_algorithms import make_search
from modules.sweeps.search.search_space import Point
from modules.training.runs.sessions import hours_of


class Trials:
    """All trials of a sweep.

    Args:
        sweep: whose they are.
        ledger: held by this process; what it holds is played back.

    Raises:
        UserError: the ledger is another sweep's.
    """

    def __init__(self, sweep: Sweep, ledger: Ledger) -> None:
        self.sweep = sweep
        self.ledger = ledger
        self._storage = Path(sweep.runtime.storage).absolute()
        self.best: Trial | None = None
        self._search = make_search(sweep.space, sweep.settings, sweep.mode)
        self._scheduler = make_scheduler(sweep.settings, sweep.space, sweep.mode, sweep.max_epochs)
        self._trials: list[Trial] = []
        self._first_of: dict[str, int] = {}
        self._told: set[int] = set()
        events = ledger.events()
        if not events:
            about = {"identity": sweep.identity, "overrides": sweep.overrides}
            ledger.append({"event": "sweep", **about, "metric": sweep.metric, "mode": sweep.mode})
        elif events[0].get("identity") != sweep.identity:
            raise self._other_ledger()
        for event in events[1:]:
            self._play_back(event)

    def __len__(self) -> int:
        return len(self._trials)

    def __getitem__(self, number: int) -> Trial:
        return self._trials[number]

    def __iter__(self) -> Iterator[Trial]:
        return iter(self._trials)

    @property
    def is_population(self) -> bool:
        """Whether trials change their points on the way."""
        return self.sweep.settings.scheduler == "pbt"

    @property
    def num_ended(self) -> int:
        """How many trials have ended."""
        return sum(trial.has_ended for trial in self._trials)

    @property
    def hours(self) -> tuple[float, float]:
        """The core and GPU hours of all that have ended."""
        return sum(one.cpu_hours for one in self._trials), sum(one.gpu_hours for one in self._trials)

    def counts(self) -> Counter[str]:
        """How many trials have each status."""
        return Counter(trial.status for trial in self._trials)

    def folder(self, trial: Trial) -> Path:
        """Where the trial's run lies: where any command would train it, except for a population's member."""
        if self.is_population:
            return (self.sweep.folder / "members" / str(trial.number)).absolute()
        return self._run(trial.identity)

    def phase_folders(self, trial: Trial) -> list[Path]:
        """Where the runs of its phases lie, in their order."""
        plan = self.plan(trial)
        numbers = identities(plan, self.shards(plan))[:-1] if plan.before else []
        return [self._run(number) for number in numbers]

    def shards(self, plan: Plan) -> Path:
        """The shards of a plan's dataset."""
        return self._storage / "data" / "shards" / plan.dataset

    def same_run(self, trial: Trial) -> Trial | None:
        """An earlier trial that comes to the same run."""
        first = self._trials[self._first_of[trial.identity]]
        return first if first is not trial else None

    def ask(self) -> Trial | None:
        """The next trial, its plan composed; REFUSED where its point is impossible; None if there is none."""
        point = self._search.ask()
        if point is None:
            return None
        number = len(self._trials)
        try:
            plan = self.sweep.plan_of(point)
        except UserError as error:
            trial = self._add(number, point, "")
            reason = " ".join(str(error).split())
            asked = {"event": "asked", "trial": number, "point": point, "identity": ""}
            self._end(trial, "REFUSED", None, reason)
            self.ledger.append(asked, {"event": "refused", "trial": number, "reason": reason})
            return trial
        trial = self._add(number, point, self._identity(number, plan))
        trial.plan = plan
        self.ledger.append({"event": "asked", "trial": number, "point": point, "identity": trial.identity})
        return trial

    def plan(self, trial: Trial) -> Plan:
        """The plan of a trial's present point."""
        if trial.plan is None:
            trial.plan = self.sweep.plan_of(trial.point)
        return trial.plan

    def start(self, trials: list[Trial], node: str) -> None:
        """Says that trials are about to be sent to a worker."""
        for trial in trials:
            trial.status, trial.started_s = "RUNNING", time.time()
            trial.num_starts += 1
        self.ledger.append(
            *(
                {"event": "started", "trial": trial.number, "attempt": trial.num_starts, "node": node}
                for trial in trials
            )
        )

    def report(self, trial: Trial, epoch: int, step: int, metrics: dict[str, float]) -> Decision:
        """What becomes of a trial after an epoch; an epoch that is known is not counted again."""
        if epoch in trial.answers:
            return "stop" if trial.answers[epoch] == "stop" else "continue"
        value = metrics[self.sweep.metric]
        decision = self._scheduler.decide(trial.number, epoch, value)
        told = decision
        if isinstance(decision, Exploit):
            told = {"copy_from": decision.copy_from, "point": decision.point}
        event = {"event": "report", "trial": trial.number, "epoch": epoch, "step": step}
        self.ledger.append({**event, "metrics": metrics, "decision": told})
        self._take_in(trial, epoch, value, told)
        return decision

    def try_again(self) -> None:
        """Has trials that failed wait again: by the machine's fault, or where that is asked for by any."""
        for trial in self._trials:
            if trial.status == "FAILED" and (trial.of_machine or self.sweep.settings.retry_failed):
                self.ledger.append({"event": "again", "trial": trial.number})
                self._again(trial)

    def end(
        self, trial: Trial, status: str, value: float | None, reason: str = "", of_machine: bool = False
    ) -> bool:
        """Says how a trial ended; returns whether it is the best so far."""
        if trial.status == "RUNNING":
            trial.seconds += time.time() - trial.started_s
        event = {"event": "ended", "trial": trial.number, "status": status, "value": value}
        hours = hours_of(self.folder(trial)) if status not in ("REUSED", "REFUSED") else None
        if hours is not None:
            trial.cpu_hours, trial.gpu_hours = hours
            event |= {"cpu_hours": round(hours[0], 6), "gpu_hours": round(hours[1], 6)}
        why = {"reason": reason, "of_machine": True} if of_machine else {"reason": reason}
        self.ledger.append({**event, **why, "seconds": round(trial.seconds, 3)})
        return self._end(trial, status, value, reason, of_machine)

    def lose(self, trial: Trial, reason: str, excused: bool) -> None:
        """Says that a trial's worker died; it waits to be started again.

        Args:
            trial: that was running.
            reason: why it died.
            excused: whether that is not counted: its node died, or the sweep itself is ending.
        """
        event = {"event": "lost", "trial": trial.number, "attempt": trial.num_starts, "reason": reason}
        self.ledger.append({**event, "excused": excused})
        self._lose(trial, excused)

    def rest(self, trial: Trial) -> None:
        """A trial keeps its state and waits for a worker; nothing of it is to be written down."""
        trial.seconds += time.time() - trial.started_s
        trial.status = "WAITING"

    def _add(self, number: int, point: Point, run: str) -> Trial:
        trial = Trial(number, point, run)
        self._trials.append(trial)
        self._first_of.setdefault(run, number)
        self._scheduler.add(number, point)
        return trial

    def _identity(self, number: int, plan: Plan) -> str:
        if self.is_population:
            return hashlib.sha256(f"{self.sweep.identity} member {number}".encode()).hexdigest()
        return identity(plan, self.shards(plan))

    def _run(self, number: str) -> Path:
        return self._storage / "runs" / number[:16]

    def _take_in(self, trial: Trial, epoch: int, value: float, decision: Any) -> None:
        trial.curve[epoch] = value
        if isinstance(decision, dict):
            trial.exploit, trial.point, trial.plan = (epoch, decision["copy_from"]), decision["point"], None
        trial.answers[epoch] = decision if isinstance(decision, str) else "exploit"

    def _again(self, trial: Trial) -> None:
        trial.status, trial.reason, trial.of_machine, trial.num_lost = "WAITING", "", False, 0

    def _end(
        self, trial: Trial, status: str, value: float | None, reason: str, of_machine: bool = False
    ) -> bool:
        trial.status, trial.value, trial.reason, trial.plan = status, value, reason, None
        trial.of_machine = of_machine
        if trial.number not in self._told:  # a search may be told but once
            self._search.tell(trial.number, value)
            self._told.add(trial.number)
        if value is None or status not in ("FINISHED", "REUSED"):
            return False
        sign = 1 if self.sweep.mode == "max" else -1
        if self.best is None or self.best.value is None or sign * value > sign * self.best.value:
            self.best = trial
        return self.best is trial

    def _lose(self, trial: Trial, excused: bool) -> None:
        trial.status = "WAITING"
        trial.num_lost += not excused

    def _play_back(self, event: Event) -> None:
        if event["event"] == "asked":
            point = self._search.ask()
            if point is None and (num_trials := self.sweep.settings.num_trials) is not None:
                raise UserError(
                    f"{self.ledger.path} has more trials than sweep.num_trials={num_trials}",
                    "Give at least as many as before",
                )
            if point != event["point"] or event["trial"] != len(self._trials):
                raise self._other_ledger()
            self._add(event["trial"], event["point"], event["identity"])
            return
        trial = self._trials[event["trial"]]
        match event["event"]:
            case "refused":
                self._end(trial, "REFUSED", None, event["reason"])
            case "started":
                trial.num_starts = event["attempt"]
                trial.exploit = None
            case "report":
                value = event["metrics"][self.sweep.metric]
                self._scheduler.decide(trial.number, event["epoch"], value)
                self._take_in(trial, event["epoch"], value, event["decision"])
            case "lost":
                self._lose(trial, event["excused"])
            case "ended":
                trial.seconds = event["seconds"]
                trial.cpu_hours, trial.gpu_hours = event.get("cpu_hours", 0.0), event.get("gpu_hours", 0.0)
                of_machine = event.get("of_machine", False)
                self._end(trial, event["status"], event["value"], event["reason"], of_machine)
            case "again":
                self._again(trial)

    def _other_ledger(self) -> UserError:
        return UserError(
            f"{self.ledger.path} is another sweep's",
            f"Take the folder {self.sweep.folder} away to sweep again",
        )
