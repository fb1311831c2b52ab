"""How the report writes numbers, times and the names of metrics."""

from collections.abc import Sequence
from datetime import UTC, datetime


def count(value: float | None) -> str:
    """Every digit, in groups of three: 421642 -> 421,642."""
    return "–" if value is None else f"{round(value):,}"


def rounded(value: float, num_digits: int = 3) -> str:
    """Three significant digits, or others, and a metric prefix: 421642 -> 422 k."""
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor * (1 - 0.5 * 10**-num_digits):
            return f"{value / factor:.{num_digits}g} {prefix}"
    return f"{value:.{num_digits}g}"


def score(value: float | None) -> str:
    """A share of one with four digits, 0.9213; larger figures with two: -86.34."""
    return "–" if value is None else f"{value:.4f}" if abs(value) < 10 else f"{value:,.2f}"


def column(values: Sequence[float | None]) -> list[str]:
    """Scores below one another, all with as many digits as the largest has."""
    largest = max((abs(value) for value in values if value is not None), default=0.0)
    return ["–" if value is None else f"{value:,.{4 if largest < 10 else 2}f}" for value in values]


def percent(value: float) -> str:
    """A share of one as a percentage that is never rounded to all: 0.183 -> 18.3 %, 0.9999 -> > 99.9 %."""
    return "> 99.9 %" if 0.9995 <= value < 1 else f"{value * 100:.1f} %"


def duration(seconds: float | None) -> str:
    """Seconds as a person says them: 8.4 s, 2 min 05 s, 3 h 20 min."""
    if seconds is None:
        return "–"
    if seconds < 99.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def hours(value: float | None) -> str:
    """Hours of cores or GPUs: 0.0123, 1.5, 1,234."""
    if value is None:
        return "–"
    if 0 < value < 0.0005:
        return "< 0.001"
    return f"{value:.3g}" if value < 999.5 else f"{value:,.0f}"


def money(value: float | None) -> str:
    """A sum in whatever money: 0.0123, 12.50, 1,234.00."""
    return "–" if value is None else f"{value:.3g}" if 0 < value < 0.1 else f"{value:,.2f}"


def tick_labels(values: list[float]) -> list[str]:
    """The labels of an axis: as short as they are exact, with equally many decimals if of one magnitude."""
    sizes = [abs(value) for value in values if value]
    if sizes and (min(sizes) < 1e-4 or max(sizes) / min(sizes) > 1000 > max(sizes)):
        return [f"{value:g}".replace("e-0", "e-") for value in values]
    if any(size >= 10000 for size in sizes):
        return [rounded(value, num_digits=6) for value in values]
    decimals = max((len(f"{value:.6g}".partition(".")[2]) for value in values), default=0)
    return [f"{value:.{decimals}f}" for value in values]


def moment(value: float | str | None) -> str:
    """Seconds since 1970 or an ISO 8601 time as `2025-11-23 12:40 UTC`; anything else as it is."""
    if value is None:
        return ""
    try:
        found = (
            datetime.fromisoformat(value) if isinstance(value, str) else datetime.fromtimestamp(value, tz=UTC)
        )
    except (ValueError, OverflowError, OSError):
        return str(value)
    found = found.astimezone(UTC) if found.tzinfo else found
    return f"{found:%Y-%m-%d %H:%M}" + (" UTC" if found.tzinfo else "")


_WRITTEN = {
    "pca": "PCA",
    "iou": "IoU",
    "map": "mAP",
    "psnr": "PSNR",
    "db": "in dB",
    "f1": "F1",
    "bleu": "BLEU",
    "chrf": "chrF",
}
"""Words of metrics that are written otherwise."""


def spoken(metric: str) -> str:
    """The name of a metric as words: validation/pca_accuracy -> validation PCA accuracy."""
    words = metric.replace("_", " ").replace("/", " ").replace("mean average precision", "map").split(" ")
    return " ".join(_WRITTEN.get(word, word) for word in words)


def heading(metric: str) -> str:
    """The name of a metric as words, the first letter a capital."""
    words = spoken(metric)
    return words if words.startswith(("mAP", "chrF")) else words[:1].upper() + words[1:]
