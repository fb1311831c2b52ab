"""The command: writes page and table, says what it can't read, and leaves the old page then."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.report.trained_build import models, write_recipe


def report(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipelines.report", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "build"
    for name in models():
        write_recipe(folder, name)
    return folder


def test_writes_and_shows_then_refuses_damage(build: Path) -> None:
    done = report(f"build={build}")
    assert (done.returncode, done.stderr) == (0, "")
    assert "test accuracy" in done.stdout and "make dashboard" in done.stdout
    page = (build / "report/index.html").read_bytes()
    assert page.startswith(b"<!doctype html>") and page.rstrip().endswith(b"</html>")
    assert sorted(path.name for path in (build / "report").iterdir()) == ["index.html", "table.md"]
    assert (build / "report/index.html").stat().st_mode & 0o777 == 0o644

    quiet = report(f"build={build}", "show=page")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (0, "", "")
    assert (build / "report/index.html").read_bytes() == page

    damaged = build / "evaluate/net/metrics.json"
    before = damaged.read_bytes()
    damaged.write_text('{"accuracy": 0.9, ')
    broken = report(f"build={build}")
    damaged.write_bytes(before)
    assert (broken.returncode, broken.stdout) == (2, "")
    assert broken.stderr.startswith(f"error: {damaged} is not JSON") and broken.stderr.count("\n") == 1
    assert (build / "report/index.html").read_bytes() == page, "the old page stays"


def test_shows_the_table_alone(build: Path, tmp_path: Path) -> None:
    (tmp_path / "build").symlink_to(build)
    done = report(f"build={tmp_path / 'build'}", "show=table")
    assert done.returncode == 0 and "accuracy" in done.stdout


def test_terminal_without_unicode(build: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.report", f"build={build}", "show=table"],
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"") and b"make dashboard" in done.stdout


def test_folder_that_cannot_be_written(tmp_path: Path) -> None:
    write_recipe(tmp_path, "line")
    (tmp_path / "report").write_text("a file where the folder must be")
    done = report(f"build={tmp_path}")
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr.startswith(f"error: can't write {tmp_path / 'report'}") and done.stderr.count("\n") == 1
    )


def test_nothing_to_report(tmp_path: Path) -> None:
    done = report(f"build={tmp_path}")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ") and "pipelines.plan --all" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_starts_without_torch_and_trackers() -> None:
    code = (
        "import sys; sys.argv = ['report', '--help']; import pipelines.report as r\n"
        "try: r.run(r.main)\n"
        "except SystemExit:\n"
        "    print(sorted({'torch', 'mlflow', 'ray', 'numpy', 'jinja2'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert "show=all|table|page" in done.stdout and done.stdout.rstrip().endswith("[]")
