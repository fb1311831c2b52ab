"""Sweeps of trials that train nothing."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from modules.configuration.plans.run_plan import Plan
from modules.configuration.schema.execution_settings import RuntimeSettings, SweepSettings
from modules.sweeps.control.sweep_setup import Sweep
from modules.sweeps.search.search_space import Point, Space
from tests.plans import composed_plan

SETTINGS = SweepSettings(
    search="grid",
    scheduler="none",
    num_trials=None,
    max_concurrent=None,
    metric=None,
    mode=None,
    impossible="refuse",
    max_retries=2,
    retry_failed=False,
    stack=False,
    grace_epochs=1,
    reduction_factor=2,
    perturb_every_epochs=1,
    quantile=0.25,
    seed=0,
)
TRIAL = "tests.sweeps.trial_functions.quadratic"


def make_sweep(storage: Path, points: list[dict[str, str]], **settings: Any) -> Sweep:
    """A sweep of listed points.

    Args:
        storage: where runs and sweep lie.
        points: what the trials are told.
        settings: other than `SETTINGS`.
    """
    base = composed_plan("recipe=neuron", "tracking=none")
    shards = storage / "data" / "shards" / base.dataset
    shards.mkdir(parents=True, exist_ok=True)
    if not (shards / "shards.json").exists():
        (shards / "shards.json").write_text('{"splits": {}}')
    runtime = RuntimeSettings("ray", "cpu", 1, 0, None, 1, 1, 0, 3, str(storage), "check")
    identity = hashlib.sha256(json.dumps([points, settings], sort_keys=True).encode()).hexdigest()
    return Sweep(
        identity=identity,
        folder=storage / "sweeps" / identity[:16],
        space=Space(axes=(), fixed=(), points=tuple(points)),
        settings=replace(SETTINGS, **settings),
        runtime=runtime,
        metric="validation/score",
        mode="max",
        base=base,
        overrides=[],
        max_epochs=4,
        plan_of=lambda point: told(base, point),
    )


def told(base: Plan, point: Point) -> Plan:
    """A plan that holds a point in the place of its model."""
    model = {**base.model, "point": point}
    return replace(base, model=model, configuration={**base.configuration, "model": model})
