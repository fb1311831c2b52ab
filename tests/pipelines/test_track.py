import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from modules.configuration.errors import UserError
from modules.configuration.static_analysis.definitions import ROOT
from modules.tracking.drainer_process import DrainerProcess
from modules.tracking.sweep_tracker import SweepTracker
from modules.tracking.tracker import Tracker
from pipelines.track import main, open_dashboard
from tests.tracking.test_sending_again import lose_runs


def settings_for(uri: str | None, folder: Path) -> dict[str, Any]:
    return {
        "uri": uri,
        "artifact_root": str(folder / "mlartifacts"),
        "experiment": "trainyard",
        "system_metrics_every_s": 0.0,
        "drain_timeout_s": 0.0,
    }


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Runs that nothing has drained yet: one with a tracker, one without, one whose tracker is away."""
    monkeypatch.setattr(DrainerProcess, "tend", lambda self: None)
    monkeypatch.setenv("COLUMNS", "300")
    uris = {
        "tracked": f"sqlite:///{tmp_path / 'mlflow.db'}",
        "off": None,
        "away": "sqlite:////proc/no/mlflow.db",
    }
    for name, uri in uris.items():
        run = {"name": name, "identity": name, "tags": {}}
        tracker = Tracker(tmp_path / "runs" / name / "tracking", settings_for(uri, tmp_path), run)
        for step in range(10):
            tracker.metric("loss", 0.5, step)
        tracker.finish("FAILED" if name == "away" else "FINISHED")
    return tmp_path / "runs"


def rows(text: str) -> dict[str, list[str]]:
    return {line.split()[0]: line.split() for line in text.splitlines() if line.strip()}


def test_drain_sends_what_is_left_and_says_what_cannot_go(runs: Path, capsys: pytest.CaptureFixture[str]):
    capsys.readouterr()
    assert main([f"runs={runs}"]) == 0
    table = capsys.readouterr().out
    assert "Send what is left: python -m pipelines.track drain" in table
    assert "behind" in rows(table)["tracked"] and "12" in rows(table)["tracked"]
    assert "off" in rows(table)["off"] and "FAILED" in rows(table)["away"]
    assert main([f"runs={runs}", "drain"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert f"{runs}/tracked tracked: 12 sent, FINISHED" in lines
    assert any("away: 12 left, sqlite:////proc/no/mlflow.db: No such file" in line for line in lines)
    assert len(lines) == 2
    main([f"runs={runs}"])
    assert "up to date" in " ".join(rows(capsys.readouterr().out)["tracked"])
    assert main([f"runs={runs}", "drain"]) == 1
    assert "tracked" not in capsys.readouterr().out
    lose_runs(f"sqlite:///{runs.parent / 'mlflow.db'}")
    main([f"runs={runs}", "drain"])
    assert f"{runs}/tracked tracked: 12 sent, FINISHED" in capsys.readouterr().out


def test_a_sweep_and_its_trials_are_one_row_and_one_drain(runs: Path, capsys: pytest.CaptureFixture[str]):
    settings, sweeps = (
        settings_for(f"sqlite:///{runs.parent / 'mlflow.db'}", runs.parent),
        runs.parent / "sweeps",
    )
    sweep = SweepTracker(
        sweeps / "first" / "tracking", settings, {"name": "swept", "identity": "s", "tags": {}}
    )
    for name in ("one", "two"):
        sweep.follow(runs / name / "tracking")
        run = {"name": name, "identity": name, "tags": {}}
        Tracker(runs / name / "tracking", settings, run, deliver=False).finish()
    sweep.finish(wait_s=0)
    capsys.readouterr()
    here = [f"runs={runs}", f"sweeps={sweeps}"]
    assert main(here) == 0
    table = capsys.readouterr().out
    assert "swept (2 trials)" in table and {"behind", "6"} <= set(rows(table)["swept"])
    assert "one" not in rows(table) and "tracked" in rows(table)
    main([*here, "drain"])
    assert f"{sweeps}/first swept: 6 sent, FINISHED" in capsys.readouterr().out
    main(here)
    assert "up to date" in " ".join(rows(capsys.readouterr().out)["swept"])


def test_without_runs_the_next_command_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main([f"runs={tmp_path}"]) == 0
    assert "python -m pipelines.train" in capsys.readouterr().out


@pytest.mark.parametrize("argument", ["--help", "drian"])
def test_answers_at_once_without_heavy_imports(argument: str):
    program = f"""
import sys
from pipelines.track import main
try:
    main([{argument!r}])
except BaseException as error:
    print(error, file=sys.stderr)
assert not {{"torch", "mlflow", "pytorch_lightning", "hydra"}} & set(sys.modules), sys.modules.keys()
"""
    answer = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert ("Did you mean drain?" in answer.stderr) == (argument == "drian")


def test_dashboard_of_what_is_no_local_store(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(UserError, match="tracking=sqlite"):
        open_dashboard("none", 5000)
    with pytest.raises(SystemExit):
        open_dashboard("server", 5000)
    assert "http://127.0.0.1:5000" in capsys.readouterr().out


def test_dashboard_on_a_taken_port_names_another():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"port={port + 1}"):
            open_dashboard("sqlite", port)


def test_dashboard_serves_mlflows_pages_on_loopback(tmp_path: Path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines.track", "dashboard", f"port={port}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 120
        page = b""
        while not page and time.monotonic() < deadline and process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                    page = answer.read()
            except OSError:
                time.sleep(0.2)
        assert b"MLflow" in page
        assert (tmp_path / "mlflow.db").is_file()
        process.kill()  # what it has started ends with it
        process.wait(30)
        while True:
            assert time.monotonic() < deadline
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5).close()
            except OSError:
                break
            time.sleep(0.2)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
