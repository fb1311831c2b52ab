"""Edit distance against its definition by recursion."""

import functools

from hypothesis import given
from hypothesis import strategies as st

from modules.metrics.edit_distance import edit_distance

TEXT = st.text("abc", max_size=6)


@given(TEXT, TEXT)
def test_it_is_the_fewest_changes(first: str, second: str) -> None:
    @functools.cache
    def least(rest: str, other: str) -> int:
        if not rest or not other:
            return len(rest) + len(other)
        replaced = least(rest[1:], other[1:]) + (rest[0] != other[0])
        return min(replaced, least(rest[1:], other) + 1, least(rest, other[1:]) + 1)

    assert edit_distance(first, second) == least(first, second)
    numbers = [[ord(letter) for letter in text] for text in (first, second)]
    assert edit_distance(*numbers) == least(first, second)
