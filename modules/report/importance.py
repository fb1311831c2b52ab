"""Which swept key mattered: PED-ANOVA where there are trials enough, else rank correlation.

PED-ANOVA (Watanabe, Bansal, Hutter, IJCAI 2023, arXiv:2304.10255), as Optuna computes it: how differently a
key is distributed among the best tenth of the trials and among all. Rank correlation: Spearman's, without its
sign; of a key whose values are no numbers, the correlation ratio of the ranks, adjusted for their number.
"""

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from modules.report.sweep_results import ENDED_WELL, Axis, SweepResults, Trial, as_number

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

ENOUGH = 50  # trials, for a best tenth that says something
FEWEST = 4


@dataclass(frozen=True)
class Importances:
    """What was found.

    Attributes:
        method: "PED-ANOVA" or "rank correlation".
        num_trials: that it rests on.
        of: importance of each key, greatest first; PED-ANOVA's add up to 1, correlations lie in 0..1.
    """

    method: str
    num_trials: int
    of: dict[str, float]


def importances(sweep: SweepResults) -> Importances | None:
    """Importance of every swept key that varies; None where there are too few trials, or all are equal.

    Stopped trials count with their last value: that they were stopped is what is known of them.
    """
    trials = [
        trial
        for trial in sweep.trials
        if trial.value is not None and trial.status in (*ENDED_WELL, "STOPPED")
    ]
    axes = [axis for axis in sweep.axes() if len({trial.point.get(axis.key) for trial in trials}) > 1]
    if len(trials) < FEWEST or not axes or len({trial.value for trial in trials}) < 2:
        return None
    if len(trials) >= ENOUGH and (found := _ped_anova(trials, axes, sweep.mode)):
        method = "PED-ANOVA"
    else:
        method, found = "rank correlation", {axis.key: _rank_correlation(trials, axis) for axis in axes}
    ordered = sorted(found.items(), key=lambda item: -item[1])
    return Importances(method, len(trials), dict(ordered))


def _ped_anova(trials: list[Trial], axes: list[Axis], mode: str) -> dict[str, float]:
    """Empty where Optuna finds none: the best tenth lies as all do."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {axis.key: _distribution(axis, trials) for axis in axes}
    study = optuna.create_study(direction="maximize" if mode == "max" else "minimize")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        for trial in trials:
            parameters = {axis.key: _value(trial, axis) for axis in axes}
            study.add_trial(
                optuna.trial.create_trial(params=parameters, distributions=distributions, value=trial.value)
            )
        evaluator = optuna.importance.PedAnovaImportanceEvaluator()
        found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return found if all(map(math.isfinite, found.values())) and sum(found.values()) > 0 else {}


def _distribution(axis: Axis, trials: list[Trial]) -> "BaseDistribution":
    import optuna

    if not axis.is_numeric:
        return optuna.distributions.CategoricalDistribution(sorted({_text(trial, axis) for trial in trials}))
    return optuna.distributions.FloatDistribution(axis.low, axis.high, log=axis.log)


def _text(trial: Trial, axis: Axis) -> str:
    return trial.point.get(axis.key, "–")


def _value(trial: Trial, axis: Axis) -> float | str:
    return float(_text(trial, axis)) if axis.is_numeric else _text(trial, axis)


def _rank_correlation(trials: list[Trial], axis: Axis) -> float:
    """0..1: how far the order of the values follows from the key."""
    ranks = _ranks([trial.value or 0.0 for trial in trials])
    texts = [_text(trial, axis) for trial in trials]
    mean = sum(ranks) / len(ranks)
    spread = sum((rank - mean) ** 2 for rank in ranks)
    if not axis.is_numeric:
        groups: dict[str, list[float]] = {}
        for text, rank in zip(texts, ranks, strict=True):
            groups.setdefault(text, []).append(rank)
        within = sum(sum((rank - sum(some) / len(some)) ** 2 for rank in some) for some in groups.values())
        freedom = len(ranks) - len(groups)
        # Epsilon squared: many values with few trials each explain nothing by their number alone.
        return math.sqrt(max(0.0, 1 - within / freedom * (len(ranks) - 1) / spread)) if freedom else 0.0
    own = _ranks([as_number(text) or 0.0 for text in texts])
    product = sum((a - mean) * (b - mean) for a, b in zip(ranks, own, strict=True))
    return abs(product) / math.sqrt(spread * sum((rank - mean) ** 2 for rank in own))


def _ranks(values: list[float]) -> list[float]:
    """Ranks from 1; equal values share their mean rank."""
    ordered = sorted(values)
    return [(ordered.index(value) + 1 + len(ordered) - ordered[::-1].index(value)) / 2 for value in values]
