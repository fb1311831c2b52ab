"""Sizes with symbols in them, of windows and strides that round up and down."""

from collections.abc import Callable

import pytest

from modules.shapes.symbols import other_sizes, shape_text

SIZES = {"batch": 61, "height": 127, "width": 131}


def text(size: Callable[[dict[str, int]], int]) -> str:
    """What is told of an axis whose size depends on these sizes."""
    others = {symbol: (size(again),) for symbol, again in other_sizes(SIZES).items()}
    return shape_text((size(SIZES),), SIZES, others)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (lambda sizes: sizes["height"] + 20, "(height+20)"),
        (lambda sizes: (sizes["height"] + 20) // 2, "(height/2+10)"),  # pooling leaves the odd one out
        (lambda sizes: -(-sizes["height"] // 2), "height/2"),  # a padded stride rounds up
        (lambda sizes: (((sizes["height"] + 20) // 2) - 4) // 2, "(height/4+3)"),
        (lambda sizes: -(-sizes["width"] // 32) - 1, "(width/32-1)"),
        (lambda sizes: 3 * sizes["width"] + 1, "(3·width+1)"),
        (lambda sizes: sizes["height"] * sizes["batch"] * 2, "2·batch·height"),
        (lambda sizes: 7, "7"),
        (lambda sizes: 1000 - sizes["height"], "?"),
    ],
)
def test_a_size_is_told_as_it_is_where_strides_divide(
    size: Callable[[dict[str, int]], int], expected: str
) -> None:
    assert text(size) == expected
