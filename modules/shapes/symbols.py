"""Sizes that depend on the batch, told from those that do not by running twice."""

Shape = tuple[int, ...]

# Two sizes that no layer is likely to have: what differs between them is the batch.
BATCH_SIZES = (61, 67)
BATCH = "batch"


def shape_text(shape: Shape, other: Shape | None = None) -> str:
    """A shape with the symbol `batch` in it, such as `batch×32×12×12`.

    Args:
        shape: as it was with the first of `BATCH_SIZES`.
        other: as it was with the second; without a second run, multiples of the first are of the batch.
    """
    if other is None:
        other = tuple(_at_second(size) for size in shape)
    if len(shape) != len(other):
        return "?"
    return "×".join(_size_text(*sizes) for sizes in zip(shape, other, strict=True)) or "scalar"


def per_sample(first: int, second: int) -> int:
    """How much of a quantity one more sample adds, from what it was with the two batch sizes."""
    return round((second - first) / (BATCH_SIZES[1] - BATCH_SIZES[0]))


def _at_second(size: int) -> int:
    times, rest = divmod(size, BATCH_SIZES[0])
    return size if rest else times * BATCH_SIZES[1]


def _size_text(first: int, second: int) -> str:
    if first == second:
        return str(first)
    times, left_over = divmod(second - first, BATCH_SIZES[1] - BATCH_SIZES[0])
    rest = first - times * BATCH_SIZES[0]
    if left_over or times <= 0:
        return "?"
    symbol = BATCH if times == 1 else f"{times}·{BATCH}"
    return f"{symbol}{rest:+d}" if rest else symbol
