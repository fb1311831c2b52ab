"""Inline SVG by hand: an element builder that escapes what it is given, and the scale of an axis."""

import math
from dataclasses import dataclass

from markupsafe import Markup, escape


def element(name: str, *children: str, **attributes: str | float | None) -> Markup:
    """Builds one element; every child and attribute value that isn't Markup already is escaped.

    Args:
        name: the tag.
        children: text or elements inside it.
        attributes: `class_` becomes class, other underscores become hyphens; None leaves an attribute out.
    """
    written = Markup("").join(
        Markup(' {}="{}"').format(key.rstrip("_").replace("_", "-"), _text(value))
        for key, value in attributes.items()
        if value is not None
    )
    return Markup("<{name}{written}>{inside}</{name}>").format(
        name=name, written=written, inside=Markup("").join(escape(child) for child in children)
    )


def path(points: list[tuple[float, float]]) -> str:
    """The path data of a line through points."""
    return "M" + "L".join(f"{_text(x)},{_text(y)}" for x, y in points)


def figure(width: float, height: float, label: str, *children: str) -> Markup:
    """A chart as one image to a screen reader: `label` says what it shows."""
    return element(
        "svg",
        *children,
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_text(width)} {_text(height)}",
        role="img",
        aria_label=label,
    )


def _text(value: str | float) -> str:
    if isinstance(value, str):
        return value
    return f"{value:.2f}".rstrip("0").rstrip(".") or "0"


@dataclass(frozen=True)
class Scale:
    """Maps low..high to the pixels start..end, evenly or by the logarithm."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high = self._measure(self.low), self._measure(self.high)
        share = (self._measure(value) - low) / (high - low) if high > low else 0.5
        return self.start + share * (self.end - self.start)

    def ticks(self, most: int = 5) -> list[float]:
        """Round values inside the scale, `most` at the most: 1, 2 or 5 times powers of ten, where it is
        logarithmic and one of them lies inside, and else multiples of such a number."""
        if self.log:
            exponents = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            for digits in ((1, 2, 5), (1, 3), (1,)):
                found = [digit * 10.0**power for power in exponents for digit in digits]
                found = [value for value in found if self.low <= value <= self.high]
                if len(found) <= most:
                    break
            if found:
                return found[:: math.ceil(len(found) / most)]
        span = self.high - self.low
        if span <= 0:
            return [self.low]
        power = 10.0 ** math.floor(math.log10(span / most))
        step = next(power * digit for digit in (1, 2, 5, 10, 20) if span / (power * digit) <= most - 0.5)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [index * step for index in range(first, last + 1)]

    def _measure(self, value: float) -> float:
        return math.log10(max(value, 1e-300)) if self.log else value
