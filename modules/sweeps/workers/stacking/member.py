"""One of the trials that are trained as one program: its run folder, curves, tracker and outcome.

It leaves what a lone run leaves, so every command finds it under its identity. Only its place to go on is
kept otherwise, in checkpoints/stacked.pt, which a stack alone reads: a lone run of the same plan starts
again.
"""

import pickle
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from modules.configuration.errors import UserError
from modules.configuration.plans.plan_files import plan_text
from modules.configuration.plans.run_plan import Plan
from modules.configuration.static_analysis.targets import build
from modules.configuration.yaml_files import write_if_changed
from modules.training.fit import initial_task
from modules.training.monitoring.curves import Curves, MeanLosses
from modules.training.runs.checkpoint import DAMAGE, save_tensors
from modules.training.runs.run import end_run, open_tracker, write_results
from modules.training.runs.run_folder import FIRST_STEPS, HELD_WAIT_S, RunFolder
from modules.training.runs.worth import held
from modules.weights.tensor_file import load_tensors

Result = dict[str, Any]
Place = tuple[int, int]
"""An epoch, counted from 0, and a step within it."""


class Member:
    """A trial of a stack, from its first step, or where a stack left it, to its outcome.

    Args:
        assignment: what the worker got for this trial.
        facts: of code and machine, for its summary and tracker.
        carrying_code: today's; see `modules.configuration.plans.code_rings`.

    Raises:
        UserError: its plan cannot be built, or another process is training it.
    """

    def __init__(self, assignment: dict[str, Any], facts: dict[str, str], carrying_code: str) -> None:
        self.trial: int = assignment["trial"]
        self.plan: Plan = assignment["plan"]
        self.identity: str = assignment["identity"]
        self.seed: int = self.plan.seed
        self.folder = RunFolder(Path(assignment["folder"]))
        self.task = initial_task(self.plan).train()
        self._schedule = build(self.plan.schedule)
        self.result: Result | None = None
        self._facts = facts
        self._carrying_code = carrying_code
        self._seconds_before = 0.0
        self._held = ExitStack()
        self._held.enter_context(self.folder.held(HELD_WAIT_S))
        if self.folder.finished():
            self.result = {"status": "REUSED"}
            self._held.close()
            return
        self._saved = self._read_checkpoint()
        try:
            write_if_changed(self.folder.plan, plan_text(self.plan.to_plain()))
            self._tracker = open_tracker(
                self.plan, self.identity, Path(assignment["shards"]), self.folder, facts, deliver=False
            )
        except BaseException:
            self._held.close()
            raise
        self.curves = Curves(self._tracker, lambda: 0)

    @property
    def checkpoint(self) -> Path:
        """Where its place is kept."""
        return self.folder.checkpoint.with_name("stacked.pt")

    @property
    def place(self) -> Place:
        """Where it begins."""
        epoch, step = (0, 0) if self._saved is None else self._saved["place"]
        return epoch, step

    def start(self, initial_rate: float, num_steps: int, log_every_steps: int) -> None:
        """Says what the trainer makes of the plan.

        Args:
            initial_rate: the learning rate before the schedule.
            num_steps: of the whole training.
            log_every_steps: steps of one point of the training's curves.
        """
        self._initial_rate = initial_rate
        self._num_steps = num_steps
        self.means = MeanLosses(self.curves, log_every_steps, self.learning_rate)

    def factor(self, step: int) -> float:
        """Of the learning rate at a step, counted from 0."""
        return self._schedule(step / self._num_steps)

    def learning_rate(self, step: int) -> float:
        """The rate at a step, counted from 0."""
        return self._initial_rate * self.factor(step)

    def save(self, place: Place, seconds: float, state: dict[str, Any]) -> None:
        """Writes where to go on."""
        self.curves.flush()
        save_tensors(
            {
                "identity": self.identity,
                "place": list(place),
                "seconds": self._seconds_before + seconds,
                "curves": self.means.state_dict(),
                **state,
            },
            self.checkpoint,
        )

    def restore(self) -> dict[str, Any]:
        """Goes on with its saved curves; returns the saved state of the stack."""
        state, self._saved = self._saved, None
        assert state is not None
        self.means.load_state_dict(state["curves"])
        self._seconds_before = state["seconds"]
        return state

    def measured(self, step: int) -> dict[str, float]:
        """What validation measured after so many steps."""
        return {
            name: value
            for name, points in self.curves.history.items()
            for at, value in points
            if at == step and not name.startswith("train/")
        }

    def end(self, status: str, figures: dict[str, Any], reason: str = "") -> None:
        """FINISHED or STOPPED, with all results."""
        for parameter in self.task.model.parameters():
            parameter.data = parameter.data.clone()  # a slice would be saved with the whole stack behind it
        if status == "FINISHED":
            self.means.finish(figures["steps"])
            # No digest of weights: nobody could compute them again without the other members.
            first = {"carrying_code": self._carrying_code, "stack_size": figures["stack_size"]}
            self.folder.write(FIRST_STEPS, first)
        seconds = self._seconds_before + figures["seconds"]
        cpus, gpus = held(self.plan.runtime)
        share = seconds / 3600 / figures["stack_size"]
        hours = {"cpu_hours": round(cpus * share, 6), "gpu_hours": round(gpus * share, 6)}
        figures = {"seconds_total": seconds, **figures, **hours}
        try:
            write_results(
                self.folder,
                self.plan,
                self.identity,
                self.task,
                self.curves,
                {**figures, **self._facts},
                status,
            )
            self._tracker.artifact(self.folder.path / "summary.json")
        except (OSError, UserError) as error:
            self.fail(error)
            return
        self._end(status, reason)

    def fail(self, error: BaseException) -> None:
        """FAILED, and why."""
        self._end("FAILED", " ".join(f"{error}".split()) or type(error).__name__)

    def interrupt(self, reason: str) -> None:
        """It ends here, and where to go on is kept; nothing if it has ended already."""
        if self.result is None:
            self._end("INTERRUPTED", reason)

    def _end(self, status: str, reason: str) -> None:
        self.result = {"status": status, "reason": reason}
        try:
            if status != "INTERRUPTED":
                self.checkpoint.unlink(missing_ok=True)
            end_run(self.folder, self._tracker, "KILLED" if status == "INTERRUPTED" else status, reason)
        finally:
            self._held.close()

    def _read_checkpoint(self) -> dict[str, Any] | None:
        try:
            state = load_tensors(self.checkpoint, archive_only=True)
        except (UserError, pickle.UnpicklingError, *DAMAGE):
            return None  # not there, or damaged: this member starts again
        return state if isinstance(state, dict) and state.get("identity") == self.identity else None
