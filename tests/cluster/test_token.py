"""Ray's token: found where Ray looks for it, and readable by its owner alone."""

from pathlib import Path

import pytest

from modules.cluster.token import ensure_token, find_token, token_path
from modules.configuration.errors import UserError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.delenv("RAY_AUTH_TOKEN_PATH", raising=False)
    return tmp_path


def test_a_new_token_is_its_owners_alone(home: Path) -> None:
    assert find_token() is None
    token = ensure_token()
    assert len(token) == 64
    assert (home / ".ray" / "auth_token").stat().st_mode & 0o777 == 0o600
    assert ensure_token() == find_token() == token


def test_a_token_that_others_could_read_is_closed(home: Path) -> None:
    (home / ".ray").mkdir()
    token_path().write_text("abc\n")
    token_path().chmod(0o644)
    assert ensure_token() == "abc"
    assert token_path().stat().st_mode & 0o777 == 0o600


def test_the_environment_wins(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ensure_token()
    (home / "other").write_text("from a file")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(home / "other"))
    assert find_token() == "from a file"
    monkeypatch.setenv("RAY_AUTH_TOKEN", "from a variable")
    assert find_token() == "from a variable"


def test_a_path_to_nothing_is_said(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(home / "nowhere"))
    with pytest.raises(UserError, match=r"RAY_AUTH_TOKEN_PATH=.*nowhere is not there"):
        find_token()
