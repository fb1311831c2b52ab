import subprocess
import sys
from pathlib import Path

import pytest

from modules.configuration.errors import UserError
from modules.tracking.store import absolute_settings, database_file, find_run, open_store

from .conftest import Settings, settings_for


def test_relative_paths_start_at_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    settings = absolute_settings({**settings_for("sqlite:///mlflow.db"), "artifact_root": "mlartifacts"})
    assert settings["uri"] == f"sqlite:///{tmp_path}/mlflow.db"
    assert settings["artifact_root"] == f"{tmp_path}/mlartifacts"


@pytest.mark.parametrize("uri", [None, "http://127.0.0.1:5000", "sqlite:////tmp/mlflow.db"])
def test_what_is_absolute_stays(uri: str | None):
    assert absolute_settings(settings_for(uri)) == settings_for(uri)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("http://me:secret@host", "password"),
        ("mlruns", "without transactions"),
        ("file:///tmp/mlruns", "sqlite:///"),
    ],
)
def test_stores_that_would_leak_or_double_are_refused(uri: str, message: str):
    with pytest.raises(UserError, match=message) as refusal:
        absolute_settings(settings_for(uri))
    assert "secret" not in str(refusal.value)


def test_processes_that_meet_a_fresh_database_all_succeed(tmp_path: Path):
    settings = settings_for(f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}", tmp_path / "mlartifacts")
    program = f"from modules.tracking.store import open_store; print(open_store({settings!r})[1])"
    processes = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    ids = [process.communicate()[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0] * 3
    assert len(set(ids)) == 1


def test_a_folder_that_a_uri_reads_otherwise_holds_its_own_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "c%20d#e?f ä g"
    folder.mkdir()
    monkeypatch.chdir(folder)
    settings = {**settings_for("sqlite:///mlflow.db?timeout=20"), "artifact_root": "mlartifacts"}
    settings = absolute_settings(absolute_settings(settings))
    assert settings["uri"] == f"sqlite:///{tmp_path}/c%2520d%23e%3Ff ä g/mlflow.db?timeout=20"
    assert database_file(settings["uri"]) == folder / "mlflow.db"
    client, experiment = open_store(settings)
    run = client.create_run(experiment)
    (tmp_path / "file").write_text("kept")
    client.log_artifact(run.info.run_id, str(tmp_path / "file"))
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == [folder.name]
    assert [path.read_text() for path in folder.glob("mlartifacts/**/file")] == ["kept"]
    assert client.list_artifacts(run.info.run_id)[0].path == "file"


def test_deleted_experiment_is_named_with_the_hint(sqlite: Settings):
    client, experiment_id = open_store(sqlite)
    client.delete_experiment(experiment_id)
    with pytest.raises(UserError, match="mlflow experiments restore"):
        open_store(sqlite)


def test_find_run_gives_the_newest_of_an_identity(sqlite: Settings):
    client, experiment_id = open_store(sqlite)
    assert find_run(client, experiment_id, "abc") is None
    for start_time in (1, 2):
        newest = client.create_run(experiment_id, start_time=start_time, tags={"identity": "abc"})
    assert find_run(client, experiment_id, "abc") == newest.info.run_id
