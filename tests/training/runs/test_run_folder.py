"""What a run leaves for the verbs after it."""

import json
from pathlib import Path

import pytest

from modules.configuration.errors import UserError
from modules.training.runs.run_folder import RESULTS, RunFolder


def finished_run(path: Path, steps: int) -> RunFolder:
    folder = RunFolder(path)
    path.mkdir()
    folder.weights.write_bytes(b"weights")
    folder.write("summary.json", {"steps": steps})
    folder.write("history.json", {"train/loss": [[steps, 0.5]]})
    return folder


def test_results_are_published_with_those_of_the_phases_before(tmp_path: Path) -> None:
    phases = {
        name: finished_run(tmp_path / name, steps) for steps, name in enumerate(("layer1", "layer0"), 1)
    }
    last = finished_run(tmp_path / "last", 9)
    out = tmp_path / "build" / "net"
    last.publish(out, phases)
    assert {path.name for path in out.iterdir()} == {*RESULTS, "phases.json"}
    published = json.loads((out / "phases.json").read_text())
    assert list(published) == ["layer1", "layer0"], "in their order"
    assert published["layer0"] == {"summary": {"steps": 2}, "history": {"train/loss": [[2, 0.5]]}}
    last.publish(out, {})
    assert json.loads((out / "phases.json").read_text()) == {}


def test_a_start_that_was_refused_leaves_no_folder(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "runs" / "ab")
    with pytest.raises(UserError), folder.held():
        raise UserError("no")
    assert not folder.path.exists()
    with folder.held():
        folder.write("outcome.json", {"status": "FAILED"})
    with folder.held():
        pass
    assert folder.read("outcome.json") == {"status": "FAILED"}


@pytest.mark.parametrize("name", ["history.json", "summary.json"])
def test_results_that_are_not_what_was_written_are_refused(tmp_path: Path, name: str) -> None:
    folder = RunFolder(tmp_path)
    folder.weights.touch()
    folder.write("history.json", {"train/loss": [[1, 0.5]]})
    folder.write("summary.json", {"steps": 1})
    folder.end("FINISHED", "")
    assert folder.finished()
    damaged = (tmp_path / name).read_text().replace("1", "3")
    (tmp_path / name).write_text(damaged)
    with pytest.raises(UserError, match=f"{name} is not what the run wrote"):
        folder.finished()
