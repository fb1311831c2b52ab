"""The loop between a sweep's books and its workers: asks for points, hands them out, decides on reports."""

import math
import os
import sys
import time
from typing import Any

from modules.cluster.own_ray import RayDied, check_parts, leave
from modules.configuration.errors import UserError
from modules.sweeps.control.best_trial import write_best
from modules.sweeps.control.live_table import LiveTable
from modules.sweeps.control.trial import Trial
from modules.sweeps.control.trial_history import Trials
from modules.sweeps.control.trial_queue import STACKED_AHEAD, TrialQueue
from modules.sweeps.schedulers.decisions import Exploit
from modules.sweeps.search.search_space import name_of
from modules.sweeps.workers.trial_worker import TAKEN_OVER, Assignment, Event
from modules.sweeps.workers.worker_deaths import why_died
from modules.sweeps.workers.worker_pool import Pool, PooledWorker
from modules.tracking.sweep_tracker import SweepTracker
from modules.training.runs.interruption import Interruption
from modules.training.runs.run_folder import RunFolder

_WAIT_S = 0.5  # for an event; a signal is looked for between two waits
_MOST_DEATHS = 5  # of Ray itself
_LAST_WAIT_S = 60.0  # for trials to reach the end of their blocks


class ControlLoop:
    """The loop between the books and the workers.

    Args:
        trials: the books.
        tracker: of the whole sweep.
        table: what a person sees.
        interruption: says when to stop.
        trial_function: dotted name.
    """

    def __init__(
        self,
        trials: Trials,
        tracker: SweepTracker,
        table: LiveTable,
        interruption: Interruption,
        trial_function: str,
    ) -> None:
        self._trials = trials
        self._sweep = trials.sweep
        self._settings = trials.sweep.settings
        self._tracker = tracker
        self._table = table
        self._interruption = interruption
        self._trial_function = trial_function
        self._pool: Pool | None = None  # a sweep of runs that are all trained needs no cluster
        self._waiting = TrialQueue(trials)
        self._twins: dict[int, list[Trial]] = {}
        self._faults: dict[int, str] = {}
        self._num_deaths = 0
        self._space_left = True
        self._best_is_old = trials.best is None

    def run(self) -> None:
        """Until all trials have ended; or a signal has come, and all that run have kept their states.

        Raises:
            Interrupted: a signal has come.
        """
        try:
            self._trials.try_again()
            self._num_ended = self._trials.num_ended
            for trial in [trial for trial in self._trials if not trial.has_ended]:
                self._admit(trial)
            while not self._interruption.requested:
                asking = self._space_left and len(self._waiting) < self._num_ahead()
                if asking:
                    self._ask()
                elif not self._waiting and not self._busy():
                    break
                try:
                    self._feed()
                    self._take(0.0 if asking else _WAIT_S)
                except RayDied as death:
                    self._start_ray_again(death)
                self._table.refresh()
            self._wind_up()
            self._best_is_old = False  # its header counts the trials
            self._write_best()
        finally:
            if self._pool is not None:
                self._pool.close()

    def _busy(self) -> list[PooledWorker]:
        return [] if self._pool is None else self._pool.busy

    def _num_ahead(self) -> int:
        """Trials to ask for before a worker is free for them: composing a plan takes a while."""
        if self._trials.is_population:
            return sys.maxsize
        if self._pool is None or self._settings.search == "optuna":
            return 1  # to ask later is to know more
        return self._pool.num_slots * (STACKED_AHEAD if self._settings.stack else 1)

    def _ask(self) -> None:
        trial = self._trials.ask()
        if trial is None:
            self._space_left = False
        elif trial.has_ended:
            self._table.ended(trial, is_best=False)
        else:
            self._admit(trial)

    def _admit(self, trial: Trial) -> None:
        """Lets a trial wait for a worker, unless it needs none."""
        folder = RunFolder(self._trials.folder(trial))
        first = self._trials.same_run(trial)
        if first is not None and first.has_ended:
            self._end_like(trial, first)
        elif first is not None:
            self._twins.setdefault(first.number, []).append(trial)
        elif "stop" in trial.answers.values():
            self._end(trial, "STOPPED", trial.last)
        elif folder.finished():
            self._end(trial, "REUSED", self._measured(folder))
        else:
            if trial.exploit is not None:
                self._keep_donor(trial)
            self._waiting.append(trial)

    def _end_like(self, trial: Trial, first: Trial) -> None:
        status = "REUSED" if first.status == "FINISHED" else first.status
        self._end(trial, status, first.value, f"the same run as trial {first.number}", first.of_machine)

    def _measured(self, folder: RunFolder) -> float | None:
        points = (folder.read("history.json") or {}).get(self._sweep.metric)
        return points[-1][1] if points else None

    def _feed(self) -> None:
        """Gives every idle worker a task, as long as there are any."""
        if not self._waiting:
            return
        if self._pool is None:
            from modules.cluster.connection import connect

            connect(self._sweep.runtime)
            self._interruption.listen()  # Ray has just taken SIGTERM
            self._pool = Pool(self._sweep.runtime, self._trial_function, self._sweep.folder / "workers")
        running = sum(len(worker.trials) for worker in self._pool.busy)
        room = (self._settings.max_concurrent or sys.maxsize) - running
        self._pool.grow(min(len(self._pool.busy) + len(self._waiting), running + room))
        self._table.room(self._pool.num_slots)
        for worker in self._pool.idle:
            if not self._waiting or room <= 0:
                return
            task = self._waiting.next_task(self._pool.num_free, room)
            room -= len(task)
            self._start(worker, task)

    def _start(self, worker: PooledWorker, task: list[Trial]) -> None:
        assert self._pool is not None
        self._trials.start(task, worker.node)
        for trial in task:
            for folder in self._trials.phase_folders(trial):
                self._tracker.follow(RunFolder(folder).tracking)
            self._tracker.follow(RunFolder(self._trials.folder(trial)).tracking, name_of(trial.point))
        self._pool.begin(worker, [self._assignment(trial) for trial in task])

    def _assignment(self, trial: Trial) -> Assignment:
        plan = self._trials.plan(trial)
        return {
            "trial": trial.number,
            "plan": plan,
            "identity": trial.identity,
            "folder": str(self._trials.folder(trial)),
            "shards": str(self._trials.shards(plan)),
            "attempt": trial.num_starts,
            "alone": self._waiting.goes_alone(trial),
            "took_over": "exploit" in trial.answers.values(),
        }

    def _start_ray_again(self, death: RayDied) -> None:
        """Gives up all workers; their trials go on from their checkpoints with those of another Ray."""
        self._num_deaths += 1
        self._give_up_workers(death)
        if self._num_deaths > _MOST_DEATHS:
            raise UserError(
                f"{death}, and {_MOST_DEATHS} times before", "The same command goes on from the checkpoints"
            )

    def _give_up_workers(self, death: RayDied) -> None:
        assert self._pool is not None
        busy, self._pool = self._pool.busy, None
        leave()
        for worker in busy:
            self._died(worker, {"event": "died", "error": death, "node_died": True})

    def _take(self, timeout_s: float) -> None:
        """Takes in what workers have to say; where nobody says anything, there is time for other things."""
        if self._pool is None:
            return
        events = self._pool.wait(0.0)
        if not events and timeout_s:
            self._write_best()
            events = self._pool.wait(timeout_s)
        for worker, event in events:
            match event["event"]:
                case "report":
                    self._pool.answer(worker, self._decide(self._trials[event["trial"]], event))
                case "done":
                    self._done(worker, event)
                case "died":
                    self._died(worker, event)

    def _decide(self, trial: Trial, event: Event) -> str:
        metrics, epoch = event["metrics"], event["epoch"]
        value = metrics.get(self._sweep.metric)
        if value is None:
            measured = ", ".join(sorted(metrics))
            self._faults[trial.number] = f"it measures no {self._sweep.metric}, but {measured}"
            return "stop"
        if not math.isfinite(value):
            self._faults[trial.number] = f"{self._sweep.metric} is {value} after epoch {epoch}"
            return "stop"
        is_new = epoch not in trial.answers
        decision = self._trials.report(trial, epoch, event["step"], metrics)
        if isinstance(decision, Exploit):
            self._keep_donor(trial)
            return "pause"
        if decision == "continue" and is_new and self._takes_turns(epoch):
            return "pause"
        return decision

    def _takes_turns(self, epoch: int) -> bool:
        """Whether others wait for this member's worker: members are to be of about the same age."""
        at_exchange = epoch % self._settings.perturb_every_epochs == 0
        return self._trials.is_population and at_exchange and bool(self._waiting)

    def _keep_donor(self, trial: Trial) -> None:
        """Keeps the donor's checkpoint as it is now, for the member to go on from."""
        assert trial.exploit is not None
        donor = RunFolder(self._trials.folder(self._trials[trial.exploit[1]])).checkpoint
        kept = RunFolder(self._trials.folder(trial)).checkpoint.with_name(TAKEN_OVER)
        linked = kept.with_name(f".{TAKEN_OVER}.unfinished")
        kept.parent.mkdir(parents=True, exist_ok=True)
        linked.unlink(missing_ok=True)
        os.link(donor, linked)  # the donor never writes into a checkpoint, it replaces it
        linked.replace(kept)

    def _done(self, worker: PooledWorker, event: Event) -> None:
        assert self._pool is not None
        task, worker.trials = [self._trials[number] for number in worker.trials], []
        failure = event["failure"]
        for trial in task:
            if failure is None:
                self._take_result(trial, event["results"].get(trial.number, {}))
            elif len(task) > 1:
                self._try_alone(trial)
            else:
                self._end(trial, "FAILED", None, failure["reason"], failure["of_machine"])
        if failure is not None and failure["spoilt"]:
            self._pool.discard(worker)

    def _take_result(self, trial: Trial, result: dict[str, Any]) -> None:
        status = result.get("status", "FAILED")
        value = result.get("value") if trial.last is None else trial.last
        if fault := self._faults.pop(trial.number, ""):
            self._end(trial, "FAILED", None, fault)
        elif status in ("PAUSED", "INTERRUPTED"):
            self._trials.rest(trial)
            self._waiting.append(trial)
        elif status == "FAILED":
            self._end(trial, status, None, result.get("reason", "it gave no result"))
        elif status == "REUSED":
            self._end(trial, status, self._measured(RunFolder(self._trials.folder(trial))))
        else:
            self._end(trial, status, value, result.get("reason", ""))

    def _try_alone(self, trial: Trial) -> None:
        """One member of a stack has broken it; which one shows when each is trained by itself."""
        self._trials.rest(trial)
        self._waiting.put_back(trial, alone=True)

    def _died(self, worker: PooledWorker, event: Event) -> None:
        reason, to_blame = why_died(event["error"], worker.crash_log)
        worker.crash_log.unlink(missing_ok=True)
        for trial in [self._trials[number] for number in reversed(worker.trials)]:
            if to_blame and len(worker.trials) > 1:
                self._try_alone(trial)
                continue
            phases = [RunFolder(folder) for folder in self._trials.phase_folders(trial)]
            unfinished = [phase for phase in phases if not phase.finished()]
            for folder in [*unfinished, RunFolder(self._trials.folder(trial))]:
                self._tracker.conclude(folder.tracking, "FAILED", reason)
            if not to_blame:
                # A signal to the whole process group has ended the worker: no fault of the trial.
                excused = event["node_died"] or self._interruption.requested
                self._trials.lose(trial, reason, excused)
            if to_blame or trial.num_lost > self._settings.max_retries:
                self._end(trial, "FAILED", None, reason)
            elif "stop" in trial.answers.values():
                self._end(trial, "STOPPED", trial.last)
            else:
                self._table.lost(trial, reason)
                self._waiting.put_back(trial)

    def _end(
        self, trial: Trial, status: str, value: float | None, reason: str = "", of_machine: bool = False
    ) -> None:
        is_best = self._trials.end(trial, status, value, reason, of_machine)
        self._num_ended += 1
        if is_best and value is not None:
            self._best_is_old = False
            self._tracker.metric(f"best/{self._sweep.metric}", value, self._num_ended)
        self._table.ended(trial, is_best)
        for twin in self._twins.pop(trial.number, []):
            self._end_like(twin, trial)

    def _wind_up(self) -> None:
        if not self._interruption.requested:
            return
        if self._pool is not None:
            try:
                check_parts()
                self._pool.interrupt()
                deadline = time.monotonic() + _LAST_WAIT_S
                while self._pool.busy and time.monotonic() < deadline:
                    self._take(_WAIT_S)
            except RayDied as death:
                # The signal went to all processes, as at the end of a job of SLURM or of a container.
                self._give_up_workers(death)
        self._write_best()
        self._interruption.stop()

    def _write_best(self) -> None:
        if not self._best_is_old:
            write_best(self._sweep, self._trials.ledger)
            self._best_is_old = True
