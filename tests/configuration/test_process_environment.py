"""Home, name and temporary folder of a process that was started without them."""

import getpass
import os
import pwd
import tempfile
from pathlib import Path
from typing import NoReturn

import pytest

from modules.configuration.process_environment import LONGEST_TMPDIR, prepare


@pytest.fixture(autouse=True)
def _bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of these; what is set meanwhile is put back."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME", "TMPDIR", "RAY_TMPDIR", "HOME"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name in ("XDG_CACHE_HOME", "MPLCONFIGDIR", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.setenv(name, "kept")
    monkeypatch.setattr(tempfile, "tempdir", None)


def nobody(number: int) -> NoReturn:
    raise KeyError(number)


def test_a_user_without_a_name_and_a_home_gets_both(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    prepare()
    assert getpass.getuser() == f"user{os.getuid()}"
    assert Path.home() == tmp_path / f"trainyard-home-{os.getuid()}"
    assert Path.home().stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("made", [True, False])
def test_a_home_is_kept_where_it_is_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, made: bool
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    home = tmp_path / "home"
    monkeypatch.setenv("HOME", str(home))
    if made:
        home.mkdir()
    prepare()
    assert (Path.home() == home) is made


def test_a_temporary_folder_that_does_not_serve_is_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "gone"))
    prepare()
    assert "TMPDIR" not in os.environ
    said = capsys.readouterr().err
    assert said == (
        f"note: TMPDIR={tmp_path}/gone is no folder that can be written, named by its whole path:"
        " another folder is taken\n"
    )


@pytest.mark.parametrize(("length", "kept"), [(LONGEST_TMPDIR, True), (LONGEST_TMPDIR + 1, False)])
def test_room_for_a_socket(monkeypatch: pytest.MonkeyPatch, length: int, kept: bool) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        folder = Path(short, "x" * (length - len(short) - 1))
        folder.mkdir()
        monkeypatch.setenv("TMPDIR", str(folder))
        prepare()
    assert os.environ.get("TMPDIR") == (str(folder) if kept else None)
    assert os.environ.get("RAY_TMPDIR") == ("/tmp" if kept else None)
