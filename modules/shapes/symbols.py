"""Sizes that depend on the data (the batch, the time of a text), told from those that do not by running again
with another size of each."""

import re
from collections.abc import Mapping
from fractions import Fraction
from math import prod
from typing import Any

Shape = tuple[int, ...]
Sizes = Mapping[str, int]
"""A size for each symbol."""

# Sizes that no layer is likely to have: what is a multiple of one is of its symbol.
BATCH = "batch"
BATCH_SIZES = (61, 67)
_PRIMES = (71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131, 137, 139, 149, 151, 157, 163, 167, 173)
_PRIMES += (
    179,
    181,
    191,
    193,
    197,
    199,
    211,
    223,
    227,
    229,
    233,
    239,
    241,
    251,
    257,
    263,
    269,
    271,
    277,
    281,
)
# Strides of 2, 4, 8, ... divide it: a size that shrinks with its symbol shows by how much, and what is added.
_EVEN = 64
# Of a sound, whose frames are some hundredths of a second apart and then halved: a second of it, also a
# prime, and what such frames divide.
_SOUND, _EVEN_OF_SOUND = 8009, 5120
_DENOMINATORS = tuple(5**fives * 2**twos for fives in (0, 1) for twos in range(7 + fives))
"""1, 2, 4, ... 64, and then 5, 10, 20, ... 640."""


def probe_sizes(config: Mapping[str, Any]) -> dict[str, int]:
    """A size for each symbol of a configuration's data, by which it is recognised; the batch's first.

    One that is not below its typical size, if that is not large: a network may need as much.
    """
    sizes = {BATCH: BATCH_SIZES[0]}
    sounds = {field["shape"][0] for field in config["data"]["fields"].values() if field.get("sample_rate_hz")}
    for symbol, typical in _typical(config).items():
        if symbol in sounds:
            sizes[symbol] = _SOUND
            continue
        fitting = [prime for prime in _PRIMES if prime not in sizes.values()]
        sizes[symbol] = next((prime for prime in fitting if prime >= typical), fitting[-1])
    return sizes


def other_sizes(sizes: Sizes) -> dict[str, dict[str, int]]:
    """For each symbol the same sizes with another of its own, one that strides divide."""
    return {
        symbol: {**sizes, symbol: BATCH_SIZES[1] if symbol == BATCH else _even_above(size)}
        for symbol, size in sizes.items()
    }


def _even_above(size: int) -> int:
    unit = _EVEN_OF_SOUND if size == _SOUND else _EVEN
    return (size // unit + 2) * unit


def typical_sizes(config: Mapping[str, Any], batch_size: int) -> dict[str, int]:
    """The sizes that costs are told for."""
    return {BATCH: batch_size, **_typical(config)}


def shape_text(shape: Shape, sizes: Sizes, others: Mapping[str, Shape] | None = None) -> str:
    """A shape with symbols in it, such as `batch×32×12×12` or `batch×time×64`.

    Args:
        shape: as it was with `sizes`.
        sizes: see `probe_sizes`.
        others: as it was with another size of each symbol, see `other_sizes`; without them, multiples of a
            symbol's size are of the symbol.
    """
    if others is not None and any(len(other) != len(shape) for other in others.values()):
        return "?"
    texts = []
    for axis, size in enumerate(shape):
        if others is None:
            texts.append(_recognised(size, sizes))
        else:
            again = {symbol: other[axis] for symbol, other in others.items()}
            texts.append(_size_text(size, sizes, again))
    return "×".join(texts) or "scalar"


def symbol_text(message: str, sizes: Sizes) -> str:
    """A message with the sizes of symbols replaced by their names."""
    for symbol, size in sizes.items():
        message = re.sub(rf"\b{size}\b", symbol, message)
    return message


def per_sample(first: float, second: float) -> int:
    """How much of a quantity one more sample adds, from what it was with the two batch sizes."""
    return round((second - first) / (BATCH_SIZES[1] - BATCH_SIZES[0]))


def _typical(config: Mapping[str, Any]) -> Mapping[str, int]:
    """The data's typical sizes; of a stream the window with the step that follows it."""
    found, order = config["data"].get("typical_sizes", {}), config["trainer"].get("order", {})
    window: int = order.get("window", 0) + 1
    return dict.fromkeys(found, window) if order.get("kind") == "stream" else found


def _recognised(size: int, sizes: Sizes) -> str:
    factors = []
    for symbol, own in sizes.items():
        if size and size % own == 0:
            factors.append(symbol)
            size //= own
    return "·".join([*([str(size)] if size > 1 or not factors else []), *factors])


def _size_text(size: int, sizes: Sizes, again: Mapping[str, int]) -> str:
    """The size of an axis, from what it is with another size of each symbol."""
    varying = [symbol for symbol, other in again.items() if other != size]
    if not varying:
        return str(size)
    if len(varying) > 1:
        times, rest = divmod(size, prod(sizes[symbol] for symbol in varying))
        if rest or any(again[symbol] * sizes[symbol] != size * _changed(sizes, symbol) for symbol in varying):
            return "?"
        return "·".join([*([str(times)] if times > 1 else []), *varying])
    (symbol,) = varying
    found = _line((sizes[symbol], size), (_changed(sizes, symbol), again[symbol]))
    if found is None:
        return "?"
    slope, rest = found
    text = symbol if slope.numerator == 1 else f"{slope.numerator}·{symbol}"
    if slope.denominator > 1:
        text = f"{text}/{slope.denominator}"
    return f"({text}{rest:+d})" if rest else text


def _line(one: tuple[int, int], even: tuple[int, int]) -> tuple[Fraction, int] | None:
    """How a size grows with a symbol, and what is added; None where it does not grow along a line.

    Args:
        one: a value of the symbol that no stride divides, and the size, which strides have rounded.
        even: one that they divide, and the size.
    """
    for denominator in _DENOMINATORS:
        steps = round((even[1] - one[1]) * denominator / (even[0] - one[0]))
        slope = Fraction(steps, denominator)
        rest = even[1] - slope * even[0]
        rounding = abs(one[1] - slope * one[0] - rest)
        if slope > 0 and rest.denominator == 1 and (rounding < 1 if denominator > 1 else rounding == 0):
            return slope, int(rest)
    return None


def _changed(sizes: Sizes, symbol: str) -> int:
    return other_sizes(sizes)[symbol][symbol]
