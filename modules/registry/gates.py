"""What a challenger must pass before it becomes champion. Pure: no tracker, no torch.

The alias moves only if every binding gate passes. Whether the recipe's expected score is reached is told, but
does not bind: a registry whose champion is weak is better served by a stronger challenger than by none.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from modules.registry.model_signature import Port, Signature


@dataclass(frozen=True)
class Gate:
    """One answer.

    Attributes:
        gate: its name.
        passed: whether the challenger passed.
        detail: the figures behind the answer.
        binding: whether the alias depends on it.
    """

    gate: str
    passed: bool
    detail: str
    binding: bool = True


@dataclass(frozen=True)
class Score:
    """A figure on a test split.

    Attributes:
        metric: its name.
        value: the figure.
        data_hash: hash of the test split that it was measured on.
        mode: whether larger or smaller is better.
    """

    metric: str
    value: float
    data_hash: str
    mode: Literal["max", "min"] = "max"


def beats_champion(challenger: Score, champion: Score | None, *, why_no_champion: str = "") -> Gate:
    """The challenger's score is better than the champion's on the same data, in the challenger's direction.

    Args:
        challenger: score of the challenger.
        champion: score of the champion; None where there is no champion or none that can be compared.
        why_no_champion: why the champion has no score on this data; empty where there is no champion at all.
    """
    name = "score"
    if champion is None and not why_no_champion:
        return Gate(name, True, f"{challenger.metric} {challenger.value:.4f}, there is no champion yet")
    if champion is None:
        return Gate(name, False, f"cannot be compared with the champion: {why_no_champion}")
    if (champion.metric, champion.data_hash) != (challenger.metric, challenger.data_hash):
        return Gate(
            name, False, "cannot be compared with the champion: the scores are of different metrics or data"
        )
    # NaN compares as neither larger nor smaller, so a broken score never wins.
    ahead = (
        challenger.value - champion.value if challenger.mode == "max" else champion.value - challenger.value
    )
    passed = ahead > 0
    verdict = "beats" if passed else "equals" if challenger.value == champion.value else "does not beat"
    return Gate(
        name,
        passed,
        f"{challenger.metric} {challenger.value:.4f} {verdict} the champion's {champion.value:.4f}",
    )


def served_equals_eager(
    served: Sequence[Sequence[float]], eager: Sequence[Sequence[float]], tolerance: float = 1e-5
) -> Gate:
    """The registered program gives the model's own answers.

    Args:
        served: outputs of the program, loaded as a server loads it.
        eager: outputs of the model with its saved weights, of the same samples.
        tolerance: largest difference taken for equal; of an output beyond 1, in proportion to it.
    """
    name = "served"
    if (
        len(served) != len(eager)
        or not eager
        or any(len(a) != len(b) for a, b in zip(served, eager, strict=True))
    ):
        return Gate(name, False, "the program answers in another shape than the model")
    differences = [
        abs(a - b) / max(1.0, min(abs(a), abs(b)))
        for rows in zip(served, eager, strict=True)
        for a, b in zip(*rows, strict=True)
    ]
    # `<=` on each, not `max`: max() of a list with NaN depends on the order.
    passed = all(difference <= tolerance for difference in differences)
    largest = max((d for d in differences if d == d), default=float("nan"))
    finite = "" if all(d == d for d in differences) else ", and some are not numbers"
    if not finite and largest == 0:
        detail = f"the registered model answers {len(eager)} samples exactly as the trained one"
    else:
        detail = (
            f"the registered model's answers to {len(eager)} samples differ from the trained one's by up to "
            f"{largest:.0e}, where {tolerance:.0e} is allowed{finite}"
        )
    return Gate(name, passed, detail)


def signature_holds(challenger: Signature, champion: Signature | None) -> Gate:
    """Whoever calls the champion can call the challenger: same inputs, same outputs in the same order."""
    name = "signature"
    takes = f"takes {_shapes(challenger.inputs)}, gives {_counted(challenger.outputs)}"
    if champion is None:
        return Gate(name, True, f"{takes}; there is no champion yet that it must be like")
    for challenging, reigning, verb in (
        (challenger.inputs, champion.inputs, "takes"),
        (challenger.outputs, champion.outputs, "gives"),
    ):
        if not _same_kinds(challenging, reigning):
            ours, theirs = _kinds(challenging), _kinds(reigning)
            return Gate(name, False, f"{verb} {ours}, the champion {theirs}")
        for one, other in zip(challenging, reigning, strict=True):
            if one.names != other.names:
                what = "outputs" if verb == "gives" else one.name or one.kind
                return Gate(name, False, f"{what} differ from the champion's: {_difference(one, other)}")
    return Gate(name, True, f"{takes}, like the champion")


def _shapes(ports: Sequence[Port]) -> str:
    return " and ".join(str(list(port.shape)) for port in ports)


def _same_kinds(ours: Sequence[Port], theirs: Sequence[Port]) -> bool:
    several = len(ours) > 1
    return len(ours) == len(theirs) and all(
        one.shape == other.shape
        and (one.kind == other.kind or not one.kind or not other.kind)
        and (one.name == other.name or not several)
        for one, other in zip(ours, theirs, strict=True)
    )


def _kinds(ports: Sequence[Port]) -> str:
    names = [f"{port.name}: " if len(ports) > 1 else "" for port in ports]
    return " and ".join(
        f"{name}{port.kind} {list(port.shape)}".strip() for name, port in zip(names, ports, strict=True)
    )


def _counted(ports: Sequence[Port]) -> str:
    if len(ports) == 1 and ports[0].kind in ("classes", "values"):
        return f"{len(ports[0].names)} outputs"
    return " and ".join(port.kind for port in ports)


def reaches_expected(score: Score, bound: float) -> Gate:
    """The recipe's expected score is reached, from below or above; told, not binding."""
    smaller = score.mode == "min"
    passed = score.value <= bound if smaller else score.value >= bound
    at = "at most" if smaller else "at least"
    detail = f"{score.metric} {score.value:.4f}, expected {at} {bound:.4f}"
    return Gate("expected", passed, detail, binding=False)


def becomes_champion(gates: Sequence[Gate]) -> bool:
    """Whether every binding gate passed."""
    binding = [gate for gate in gates if gate.binding]
    return bool(binding) and all(gate.passed for gate in binding)


def _difference(challenger: Port, champion: Port) -> str:
    if sorted(challenger.names) == sorted(champion.names):
        return "another order"
    new = [name for name in challenger.names if name not in champion.names]
    gone = [name for name in champion.names if name not in challenger.names]
    return f"new {new or 'none'}, gone {gone or 'none'}"
