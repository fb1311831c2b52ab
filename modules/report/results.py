"""What has come of each recipe: the records that page and table are made of."""

from dataclasses import dataclass
from typing import Any

import numpy

from modules.configuration.static_analysis.class_attributes import sequence_form, serves
from modules.evaluation.exhibits import Exhibit
from modules.evaluation.findings import Chart

Curve = list[tuple[float, float]]
DASHBOARD = "http://127.0.0.1:5000"
"""Where `python -m pipelines.track dashboard` opens MLflow's pages."""


@dataclass(frozen=True)
class Training:
    """One finished run.

    Attributes:
        identity: of the run.
        steps: optimiser steps taken.
        epochs: passes over the training split.
        seconds: wall-clock time over all interruptions; without that of its phases.
        samples_per_s: speed; None where it isn't known, like the following.
        seed: of the run.
        finished: when, `2025-11-23 12:40 UTC`.
        commit: of the code, marked where files differed from it.
        cpu: what it ran on.
        history: learning curves by name, as (step, value).
        phases: what was trained before, by name.
        run_folder: where it lies; empty where that isn't known.
        run_id: MLflow's; empty where there is none, or the run is no longer here.
        goodput: share of its wall time in steps that count; None, like the following, where an earlier
            version trained it.
        mfu: model FLOPs utilisation; None also where it cannot be told.
        cpu_hours: wall hours times cores.
        gpu_hours: wall hours times GPUs.
        money: by the price of an hour; None also where that is not known.
    """

    identity: str
    steps: int
    epochs: float
    seconds: float
    samples_per_s: float | None
    seed: int | None
    finished: str
    commit: str
    cpu: str
    history: dict[str, Curve]
    phases: "dict[str, Training]"
    run_folder: str = ""
    run_id: str = ""
    goodput: float | None = None
    mfu: float | None = None
    cpu_hours: float | None = None
    gpu_hours: float | None = None
    money: float | None = None

    def in_all(self, what: str) -> float | None:
        """Its own cpu_hours, gpu_hours or money and that of its phases; None where one is not known."""
        values = [getattr(one, what) for one in (self, *self.phases.values())]
        return None if None in values else sum(values)

    @property
    def seconds_in_all(self) -> float:
        """Its own time and that of its phases."""
        return self.seconds + sum(phase.seconds for phase in self.phases.values())


@dataclass(frozen=True)
class Mistake:
    """An image of the test split that the model took for something else."""

    image: bytes
    truth: str
    prediction: str
    probability: float


@dataclass(frozen=True)
class ReportImage:
    """An image that the evaluation drew, as a PNG."""

    png: bytes
    title: str
    caption: str


@dataclass(frozen=True)
class Evaluation:
    """What the saved weights do on the test split.

    Attributes:
        metrics: numbers by name: num_samples, and what the learning problem is judged by.
        images: that the evaluation drew.
        charts: that it left as data.
        exhibits: texts, sounds, strips of images, animations, galleries.
        per_class: accuracy of each class; empty, like the following, where nothing is classified.
        classes: names, in the order of the confusion matrix.
        confusion: counts; a row is the truth, a column the prediction.
        mistakes: the worst first.
        filters: weights of the first layer, [filters, channels, height, width].
        identity: of the run whose weights these are; empty where it isn't known.
        takes: the kind of what it serves takes, see `modules.tasks.served`; empty where nothing is served.
    """

    metrics: dict[str, float]
    images: list[ReportImage]
    charts: list[Chart]
    exhibits: list[Exhibit]
    per_class: dict[str, float]
    classes: list[str]
    confusion: numpy.ndarray
    mistakes: list[Mistake]
    filters: numpy.ndarray | None
    identity: str
    takes: str


@dataclass(frozen=True)
class Gate:
    """One condition of becoming champion; one that doesn't bind is only told."""

    name: str
    passed: bool
    detail: str
    binding: bool


@dataclass(frozen=True)
class Promotion:
    """The decision about a registered version, and the champion's version that it met, or nothing."""

    model: str
    version: str
    champion: bool
    previous: str
    gates: list[Gate]


@dataclass(frozen=True)
class Recipe:
    """One recipe: its plan, a sentence about it, and whatever has come of it so far."""

    name: str
    description: str
    plan: dict[str, Any]
    network: str | None
    training: Training | None
    evaluation: Evaluation | None
    promotion: Promotion | None

    @property
    def dataset(self) -> str:
        return str(self.plan["data"].get("title") or self.plan["data"]["name"])

    @property
    def model(self) -> str:
        return str(self.plan["model"]["_target_"]).rpartition(".")[2]

    @property
    def tracker_page(self) -> str:
        """The address of the run's page in MLflow; empty where it has none."""
        if self.training is None or not self.training.run_id:
            return ""
        uri = str(self.plan["tracking"]["uri"])
        pages = uri if uri.startswith("http") else DASHBOARD
        return f"{pages.rstrip('/')}/#/runs/{self.training.run_id}"

    @property
    def is_tracked_locally(self) -> bool:
        """Whether its pages are there only while the dashboard runs."""
        return self.tracker_page.startswith(DASHBOARD)

    @property
    def serves(self) -> bool:
        """Whether there is anything to register."""
        return serves(str(self.plan["task"]["_target_"]))

    @property
    def sequence_form(self) -> tuple[str, str, str] | None:
        """Its form of sequence learning, what goes in and what comes out; None where there is none."""
        return sequence_form(str(self.plan["task"]["_target_"]))

    @property
    def evaluators(self) -> list[str]:
        """The classes that measure it."""
        return [str(node["_target_"]) for node in self.plan.get("evaluation", [])]

    @property
    def metric(self) -> str:
        return str(self.plan["expected"]["metric"])

    @property
    def smaller_is_better(self) -> bool:
        return self.plan["expected"].get("at_most") is not None

    @property
    def expected(self) -> float:
        """The worst score that passes."""
        return float(self.plan["expected"]["at_most" if self.smaller_is_better else "at_least"])

    @property
    def relation(self) -> str:
        """How the score stands to what is expected, or has to while there is none."""
        if self.reached is False:
            return ">" if self.smaller_is_better else "<"
        return "≤" if self.smaller_is_better else "≥"

    @property
    def score(self) -> float | None:
        return self.evaluation.metrics.get(self.metric) if self.evaluation else None

    @property
    def reached(self) -> bool | None:
        """Whether the score is what the recipe expects; None before there is one."""
        if self.score is None:
            return None
        return self.score <= self.expected if self.smaller_is_better else self.score >= self.expected

    @property
    def num_parameters(self) -> int:
        return int(self.plan["cost"]["num_parameters"])

    @property
    def multiply_adds(self) -> int:
        return int(self.plan["cost"]["multiply_adds"])

    @property
    def outdated(self) -> bool:
        """Whether the evaluation is of other weights than were trained last."""
        if self.training is None or self.evaluation is None:
            return False
        return self.evaluation.identity not in ("", self.training.identity)

    @property
    def missing(self) -> str:
        """What is still to be done, or nothing."""
        if self.training is None:
            return "not trained yet"
        if self.evaluation is None:
            return "not evaluated yet"
        return "" if self.promotion or not self.serves else "not registered yet"
