"""Errors of the system that a user can do something about: the path, whose it is, and the way out."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from modules.configuration.command import run
from modules.configuration.errors import UserError
from modules.configuration.refused_access import access_error, access_errors, user_name, write_refusal
from modules.configuration.yaml_files import write_if_changed
from modules.training.runs.run_folder import RESULTS, RunFolder

NOBODY = 65534


def of(number: int, path: Path | str | None) -> OSError:
    return OSError(number, os.strerror(number), *([] if path is None else [str(path)]))


def test_a_missing_right_names_path_owner_and_way_out(tmp_path: Path) -> None:
    os.chown(tmp_path, NOBODY, -1)
    error = access_error(of(errno.EACCES, tmp_path / "runs" / "a"))
    assert error is not None
    assert error.problem == (
        f"can't write {tmp_path}/runs/a: Permission denied; {tmp_path} belongs to {user_name(NOBODY)}, and"
        f" you are {user_name(os.geteuid())}"
    )
    assert "chmod" in error.hint


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.EROFS, "read-only"),
        (errno.ENOSPC, "Free some space"),
        (errno.ENOTDIR, "A file is in the place"),
    ],
)
def test_a_disk_that_takes_nothing(number: int, hint: str) -> None:
    with pytest.raises(UserError, match=f"can't write somewhere: .*{hint}"), access_errors(Path("somewhere")):
        raise of(number, None)


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    assert access_error(of(errno.EIO, tmp_path)) is None
    assert access_error(of(errno.EACCES, None)) is None
    assert write_refusal(tmp_path / "new" / "file") is None


def test_a_number_without_a_name() -> None:
    assert user_name(4_000_000_001) == "user 4000000001"


def test_every_command_says_it_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refused(argv: list[str]) -> None:
        raise of(errno.EROFS, "runs")

    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    with pytest.raises(SystemExit) as ended:
        run(refused)
    assert ended.value.code == 2
    assert capsys.readouterr().err.startswith("error: can't write runs: Read-only file system. ")


def test_files_have_the_rights_that_the_umask_leaves(tmp_path: Path) -> None:
    program = (
        "import os, pathlib; os.umask(0o027)\nfrom modules.configuration.yaml_files import write_if_changed"
    )
    program += f"\nwrite_if_changed(pathlib.Path({str(tmp_path / 'a')!r}), 'text')"
    subprocess.run([sys.executable, "-c", program], check=True)
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_what_is_published_already_is_not_written_again(tmp_path: Path) -> None:
    run_folder, out = RunFolder(tmp_path / "run"), tmp_path / "out"
    for name in RESULTS:
        write_if_changed(run_folder.path / name, f"{name}\n")
    run_folder.publish(out, {})
    before = {file: file.stat().st_ino for file in out.iterdir()}
    run_folder.publish(out, {})
    assert {file: file.stat().st_ino for file in out.iterdir()} == before
    write_if_changed(run_folder.path / RESULTS[0], "other\n")
    run_folder.publish(out, {})
    assert (out / RESULTS[0]).read_text() == "other\n"
