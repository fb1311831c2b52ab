"""From an evaluated recipe to a registered version, and to the alias `champion` if it passes the gates.

Every step can be interrupted and done again: a version appears complete or not at all, a version without a
decision is decided again, and a decision that is written down but not carried out is carried out. An identity
is registered once.
"""

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modules.configuration.errors import UserError
from modules.configuration.plans.run_plan import Plan
from modules.evaluation.evaluator import expected_score
from modules.registry.gates import (
    Gate,
    Score,
    beats_champion,
    becomes_champion,
    reaches_expected,
    served_equals_eager,
    signature_holds,
)
from modules.registry.model_signature import signature_tag
from modules.registry.outcome import Outcome
from modules.registry.versions import Registry, Version

if TYPE_CHECKING:
    from torch import Tensor

    from modules.tasks.served import Served
    from modules.tasks.task import Task

Rescore = Callable[[Path], float]
"""From the files of a version to its score on the challenger's test split."""


@dataclass(frozen=True)
class Promotion:
    """What came of it.

    Attributes:
        version: the registered version.
        new: whether it was decided just now.
        champion: whether the alias names it now.
        previous: number and score of the champion that it met, or None.
        gates: the decision.
    """

    version: Version
    new: bool
    champion: bool
    previous: dict[str, Any] | None
    gates: list[Gate]


def decided(registry: Registry, name: str, identity: str) -> Promotion | None:
    """The promotion of an identity that was decided before; what was left of it is carried out."""
    version = registry.find(name, identity)
    if version is None or "decision" not in version.tags:
        return None
    decision = json.loads(version.tags["decision"])
    gates = [Gate(**gate) for gate in decision["gates"]]
    if "settled" not in version.tags:
        registry.settle(version, becomes_champion(gates))
    champion = registry.champion(name)
    is_champion = champion is not None and champion.number == version.number
    return Promotion(version, new=False, champion=is_champion, previous=decision["previous"], gates=gates)


def promote(
    registry: Registry,
    plan: Plan,
    task: "Task",
    served: "Served",
    outcome: Outcome,
    run_id: str,
    rescore: Rescore,
) -> Promotion:
    """Register the model and decide whether it becomes champion.

    Args:
        registry: where to.
        plan: the recipe's plan.
        task: with its trained weights.
        served: by it.
        outcome: its evaluation.
        run_id: MLflow's id of the run that trained it.
        rescore: how a champion evaluated on other data is measured on this data.

    Raises:
        UserError: if the model cannot be exported or the tracker does not answer.
    """
    name, identity, metric = plan.name, outcome.provenance.identity, plan.expected.metric
    test = outcome.provenance.data["test"]
    score = Score(metric, expected_score(outcome.metrics, plan), test, plan.expected.mode)
    version = registry.find(name, identity) or _register(registry, plan, task, served, outcome, run_id)
    champion = registry.champion(name)
    if champion is not None and champion.number == version.number:
        champion = None  # someone moved the alias by hand: no one to compare with
    signature = signature_holds(version.signature, champion.signature if champion else None)
    known_score, why_not = (
        _score(registry, champion, score, signature, rescore) if champion is not None else (None, "")
    )
    gates = [
        beats_champion(score, known_score, why_no_champion=why_not),
        _served(registry, version, served, outcome),
        signature,
        reaches_expected(score, plan.expected.bound),
    ]
    previous = None
    if champion is not None:
        previous = {"version": champion.number, metric: known_score.value if known_score else None}
    decision = {"previous": previous, "gates": [asdict(gate) for gate in gates]}
    registry.decide(version, becomes_champion(gates), json.dumps(decision, ensure_ascii=False))
    return Promotion(version, new=True, champion=becomes_champion(gates), previous=previous, gates=gates)


def _register(
    registry: Registry, plan: Plan, task: "Task", served: "Served", outcome: Outcome, run_id: str
) -> Version:
    import torch

    from modules.registry.export import Description, export_program
    from modules.registry.model_package import package

    provenance = outcome.provenance
    name, identity = plan.name, provenance.identity
    description = Description.from_plain(
        {"name": name, "identity": identity, "inputs": provenance.inputs, "outputs": provenance.outputs}
    )
    # Two samples: torch.export takes a batch of one for a size that never changes.
    examples = {name: array[[0, -1]] for name, array in outcome.examples.items()}
    program = export_program(served, [torch.from_numpy(array) for array in examples.values()])
    run_tags = registry.run_tags(run_id)
    model_id = registry.start_model(name, identity, run_id)
    with tempfile.TemporaryDirectory(prefix="trainyard-") as scratch:
        folder = Path(scratch) / "model"
        files = package(
            program, task.model.state_dict(), description, examples, plan, run_id, model_id, folder
        )
        tags = {
            "identity": identity,
            "weights": provenance.weights,
            "files": files,
            "signature": signature_tag(provenance.inputs, provenance.outputs),
            "dataset": plan.dataset,
            **{f"data.{split}": value for split, value in provenance.data.items()},
            **{f"test.{figure}": repr(value) for figure, value in outcome.metrics.items()},
            **{tag: run_tags[tag] for tag in ("git_commit", "git_dirty") if tag in run_tags},
        }
        return registry.register(name, folder, run_id, model_id, tags)


def _served(registry: Registry, version: Version, served: "Served", outcome: Outcome) -> Gate:
    """The registered files, fetched and loaded as a server does it, against the model itself."""
    import torch

    from modules.registry.answering import run
    from modules.registry.model_package import serve

    arguments = [torch.from_numpy(array) for array in outcome.examples.values()]
    with registry.fetched(version) as folder:
        try:
            answers = serve(folder, arguments)
        except ValueError as error:
            return Gate("served", False, f"the program does not do what it says: {error}")
    eager = run(served.module.eval(), arguments)
    return served_equals_eager(_rows(answers), _rows(eager))


def _rows(outputs: "Sequence[Tensor]") -> list[list[float]]:
    """All numbers that are given of each sample."""
    return [
        [number for row in rows for number in row.double().flatten().tolist()]
        for rows in zip(*outputs, strict=True)
    ]


def _score(
    registry: Registry, champion: Version, challenger: Score, signature: Gate, rescore: Rescore
) -> tuple[Score | None, str]:
    """The champion's score on the challenger's data, or why there is none."""
    known = champion.score(challenger.metric)
    if known is not None and known.data_hash == challenger.data_hash:
        return known, ""
    if not signature.passed:
        return None, f"the champion (version {champion.number}) has other data and {signature.detail}"
    try:
        with registry.fetched(champion) as folder:
            value = rescore(folder)
    except UserError as error:
        return (
            None,
            f"the champion (version {champion.number}) has other data and cannot be run: {error.problem}",
        )
    return Score(challenger.metric, value, challenger.data_hash, challenger.mode), ""
