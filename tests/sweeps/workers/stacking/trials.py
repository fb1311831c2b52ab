"""Trials over the small dataset, stacked and alone."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import Tensor

from modules.configuration.plans.run_plan import Plan
from modules.training.runs.run import train
from modules.training.runs.run_folder import RunFolder
from tests.training.small import small_plan

NET = ("model.hidden_sizes=[16]", "model.dropout=0.0")


def plan(*overrides: str, recipe: str = "perceptron") -> Plan:
    """A small perceptron, two epochs."""
    return small_plan(recipe, *(NET if recipe == "perceptron" else ()), *overrides)


def assignments(plans: Sequence[Plan], runs: Path, shards: Path) -> list[dict[str, Any]]:
    """What a worker gets for trials of these plans."""
    return [
        {
            "trial": trial,
            "plan": plan,
            "identity": f"{trial:064}",
            "folder": str(runs / str(trial)),
            "shards": str(shards),
            "attempt": 1,
        }
        for trial, plan in enumerate(plans)
    ]


def alone(plan: Plan, folder: Path, shards: Path) -> RunFolder:
    """Trains a plan by itself."""
    run = RunFolder(folder)
    with run.held():
        train(plan, "0" * 64, shards, run, Console(quiet=True))
    return run


def weights(folder: Path) -> dict[str, Tensor]:
    return torch.load(folder / "weights.pt", weights_only=True)


def history(folder: Path) -> dict[str, list[list[float]]]:
    return json.loads((folder / "history.json").read_text())


def outcome(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "outcome.json").read_text())


def assert_same_result(folder: Path, other: Path) -> None:
    """Bit by bit."""
    ours, theirs = weights(folder), weights(other)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name
    assert history(folder) == history(other)


class Reports:
    """Hears the reports of trials, and lets all go on but those that are to stop.

    Args:
        stop: the epoch after which a trial ends, by trial.
    """

    def __init__(self, stop: dict[int, int] | None = None) -> None:
        self.stop = stop or {}
        self.heard: list[tuple[int, int, int]] = []
        self.metrics: dict[tuple[int, int], dict[str, float]] = {}
        self.interrupted = False

    def __call__(self, trial: int, epoch: int, step: int, metrics: dict[str, float]) -> str:
        self.heard.append((trial, epoch, step))
        self.metrics[trial, epoch] = metrics
        return "stop" if self.stop.get(trial) == epoch else "continue"
