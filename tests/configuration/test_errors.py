"""A fault is one line, whatever its key."""

import pytest

from modules.configuration.errors import ConfigError


@pytest.mark.parametrize(
    ("key", "shown"), [("model.num_filters", "model.num_filters"), ("a.b\nc\x1b[2J", r"a.b\nc\x1b[2J")]
)
def test_a_key_is_shown_printable_and_kept_as_it_is(key: str, shown: str) -> None:
    error = ConfigError(key, "is unknown")
    assert str(error) == f"{shown}: is unknown"
    assert error.key == key
