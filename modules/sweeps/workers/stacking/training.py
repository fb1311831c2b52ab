"""Trains several trials as one program, in one process, with one pass over the data.

Each member has the initial weights, the order of samples, the dropout masks, the schedule and the optimizer
of its lone run, and ends with its weights up to rounding. A member that diverges or is stopped is cut out of
the stack; the others go on with less work.

A stack that was killed goes on where it was: every member keeps its own place (`Member.save`), whoever
is in the stack the next time. Members that come back at different places are trained one place after another;
a member without a place, or with a damaged one, starts again.
"""

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modules.configuration.errors import UserError
from modules.configuration.plans.code_rings import carrying_code
from modules.configuration.plans.run_plan import Plan
from modules.configuration.schema.execution_settings import RuntimeSettings
from modules.configuration.schema.trainer_settings import TrainerSettings
from modules.configuration.static_analysis.definitions import ROOT
from modules.datamodules.shard_loader import EvaluationLoader, TrainingLoader
from modules.datamodules.shard_set import ShardSet
from modules.sweeps.workers.open_shards import open_shards
from modules.sweeps.workers.stacking.member import Member, Place, Result
from modules.sweeps.workers.stacking.stack import Stack
from modules.sweeps.workers.stacking.validation_measures import measured
from modules.training.monitoring.curves import diverged
from modules.training.runs.environment import environment, git_state
from modules.training.runs.freed_memory import keep_freed_memory
from modules.training.runs.interruption import Interrupted
from modules.training.runs.run import VALIDATION_BATCH_SIZE
from modules.training.runs.training_errors import explained

Report = Callable[[int, int, int, dict[str, float]], str]

# Every member writes its own file through to the disk; less work than this is not worth it.
_SAVE_EVERY_S = 15.0


def train_stacked(
    assignments: list[dict[str, Any]], report: Report, data: ShardSet | None = None
) -> dict[int, Result]:
    """Trains trials that `stack_groups` put together: a trial function for the workers of a sweep.

    Args:
        assignments: of the trials; data, trainer and runtime are the same in all.
        report: told trial, epochs trained, steps taken and validation's metrics at the end of each epoch;
            "continue" lets the trial go on, any other answer ends it there. Its attribute `interrupted`, if
            it has one, asks all of them to save their places and end.
        data: the shards, where they are open already.

    Returns:
        {"status": FINISHED, STOPPED, FAILED, REUSED or INTERRUPTED, "reason"} of each trial.
    """
    plan: Plan = assignments[0]["plan"]
    settings = plan.trainer
    runtime = plan.runtime
    if runtime.num_threads is not None:
        torch.set_num_threads(runtime.num_threads)
    keep_freed_memory()
    data = data or open_shards(Path(assignments[0]["shards"]), plan)
    facts, code = {**git_state(ROOT), **environment()}, carrying_code()
    results: dict[int, Result] = {}
    members: list[Member] = []
    try:
        with explained(settings.batch_size):
            for assignment in assignments:
                try:
                    member = Member(assignment, facts, code)
                except UserError as error:
                    reason = " ".join(str(error).split())
                    results[assignment["trial"]] = {"status": "FAILED", "reason": reason}
                else:
                    members.append(member)
            places: dict[Place, list[Member]] = {}
            for member in members:
                if member.result is None:
                    places.setdefault(member.place, []).append(member)
            for place in sorted(places):
                _Training(data, settings, runtime, place, places[place], report).run()
    except BaseException as error:
        for member in members:
            member.interrupt(" ".join(f"{error}".split()) or type(error).__name__)
        if not isinstance(error, Interrupted):
            raise
    return results | {member.trial: member.result for member in members if member.result is not None}


class _Training:
    """Members at one place, trained to their ends."""

    def __init__(
        self,
        data: ShardSet,
        settings: TrainerSettings,
        runtime: RuntimeSettings,
        place: Place,
        members: list[Member],
        report: Report,
    ) -> None:
        self.settings = settings
        self.report = report
        self.members = members
        self.loaders = {
            seed: TrainingLoader(
                data.split("train"),
                settings.batch_size,
                settings.block_steps,
                seed,
                num_workers=runtime.num_loader_workers,
            )
            for seed in dict.fromkeys(member.seed for member in self.members)
        }
        self.validation = None
        if "validation" in data.splits:
            self.validation = EvaluationLoader(data.split("validation"), VALIDATION_BATCH_SIZE)
        self.steps_per_epoch = next(iter(self.loaders.values())).steps_per_epoch
        self.epoch, self.step_in_epoch = place
        for loader in self.loaders.values():
            loader.load_state_dict({"epoch": self.epoch, "step": self.step_in_epoch})
        example = data.split("train").read(np.arange(settings.batch_size), index=False)
        example = {name: torch.from_numpy(array) for name, array in example.items()}
        self.stack = Stack(self.members, example, settings.gradient_clip_norm)
        num_steps = self.steps_per_epoch * settings.max_epochs
        for member, rate in zip(self.members, self.stack.initial_rates, strict=True):
            member.start(rate, num_steps, settings.log_every_steps)
        self.num_members = len(members)
        self.first_step = self.step
        self.started_s = self.saved_s = time.perf_counter()
        states = [member.restore() for member in members if member.place != (0, 0)]
        if states:  # of all of them
            self.stack.restore(states)

    @property
    def step(self) -> int:
        """Steps taken in all epochs."""
        return self.epoch * self.steps_per_epoch + self.step_in_epoch

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self.started_s

    def run(self) -> None:
        """Until each is at its end."""
        self._tell_what_lies_behind()
        while self.members and self.epoch < self.settings.max_epochs:
            if self.step_in_epoch == 0:
                self.stack.start_epoch(self.epoch)
            for blocks in self._blocks():
                self._train(blocks)
                if self.step_in_epoch < self.steps_per_epoch:  # else validation comes first
                    self._save_if_due()
                if not self.members:
                    return
            self._end_epoch()
        for member in self.members:
            member.end("FINISHED", self._figures())

    def _blocks(self) -> Iterator[dict[int, dict[str, Tensor]]]:
        for blocks in zip(*self.loaders.values(), strict=True):
            yield dict(zip(self.loaders, blocks, strict=True))

    def _train(self, blocks: dict[int, dict[str, Tensor]]) -> None:
        losses = self.stack.train(blocks, self.step)
        self.step_in_epoch += len(losses)
        faults: dict[int, UserError] = {}
        for number, (member, own) in enumerate(zip(self.members, losses.T.tolist(), strict=True)):
            try:
                member.means.add(own, self.step)
            except UserError as fault:
                faults[number] = fault
        self._fail(faults)

    def _fail(self, faults: dict[int, UserError]) -> None:
        for number, fault in faults.items():
            self.members[number].fail(fault)
        self._keep([number for number in range(len(self.members)) if number not in faults])

    def _keep(self, numbers: list[int]) -> None:
        if len(numbers) == len(self.members):
            return
        self.members = [self.members[number] for number in numbers]
        if self.members:
            self.stack.keep(numbers)

    def _check_weights(self) -> None:
        faults = {}
        for number in self.stack.not_finite() if self.members else ():
            rate = self.members[number].learning_rate(self.step - 1)
            faults[number] = diverged(self.step, "a weight is not a finite number", rate)
        self._fail(faults)

    def _end_epoch(self) -> None:
        self._check_weights()
        metrics = [{} for _ in self.members]
        if self.validation is not None:
            metrics = measured([member.task for member in self.members], self.validation)
        step, self.epoch, self.step_in_epoch = self.step, self.epoch + 1, 0
        for member, values in zip(self.members, metrics, strict=True):
            for name, value in values.items():
                member.curves.add(name, value, step)
        self._keep([n for n, values in enumerate(metrics) if self._goes_on(n, self.epoch, values)])
        seeds = {member.seed for member in self.members}
        self.loaders = {seed: loader for seed, loader in self.loaders.items() if seed in seeds}
        self._save_if_due()

    def _tell_what_lies_behind(self) -> None:
        """Epochs before a checkpoint: the sweep may not know them, if the last reports were lost."""
        going_on = []
        for number, member in enumerate(self.members):
            behind = (
                (epoch, member.measured(epoch * self.steps_per_epoch)) for epoch in range(1, self.epoch + 1)
            )
            if all(self._goes_on(number, epoch, values) for epoch, values in behind):
                going_on.append(number)
        self._keep(going_on)

    def _goes_on(self, number: int, epoch: int, values: dict[str, float]) -> bool:
        """Reports an epoch of a member; ends it where that is the answer."""
        member = self.members[number]
        answer = self.report(member.trial, epoch, epoch * self.steps_per_epoch, values)
        if answer == "continue" or epoch == self.settings.max_epochs:
            return True
        member.end("STOPPED", self._figures(), "stopped early")
        return False

    def _save_if_due(self) -> None:
        interrupted = getattr(self.report, "interrupted", False)
        if not interrupted and time.perf_counter() - self.saved_s < _SAVE_EVERY_S:
            return
        self._check_weights()
        for number, member in enumerate(self.members):
            member.save((self.epoch, self.step_in_epoch), self.seconds, self.stack.state(number))
        self.saved_s = time.perf_counter()
        if interrupted:
            raise Interrupted(signal.SIGTERM)

    def _figures(self) -> dict[str, Any]:
        num_steps = self.step - self.first_step
        return {
            "seconds": self.seconds,
            "steps": self.step,
            "epochs": self.epoch,
            "samples_per_s": num_steps * self.settings.batch_size / max(self.seconds, 1e-9),
            "stack_size": self.num_members,
        }
