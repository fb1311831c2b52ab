"""The ledger: what a kill, a second writer and a damaged disk leave of it."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modules.configuration.errors import UserError
from modules.configuration.static_analysis.definitions import ROOT
from modules.sweeps.control.ledger import Ledger, read_events

ASKED = {"event": "asked", "trial": 0, "point": {"model.pooling": "'ä,\n'"}, "identity": "0"}


def test_events_come_back_in_their_order(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "ledger.jsonl"
    with Ledger(path) as ledger:
        assert ledger.events() == []
        ledger.append({"event": "sweep", "identity": "0"})
        ledger.append(ASKED, {"event": "started", "trial": 0, "attempt": 1, "node": "here"})
        written = ledger.events()
    assert [event["event"] for event in written] == ["sweep", "asked", "started"]
    assert all(isinstance(event["time_s"], float) for event in written)
    assert written[1] | ASKED == written[1]
    assert read_events(path) == written
    with Ledger(path) as again:
        assert again.events() == written


@settings(max_examples=50)
@given(st.floats(0, 1))
def test_a_kill_in_the_middle_of_a_line_loses_that_line_alone(share: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ledger.jsonl"
        with Ledger(path) as ledger:
            for trial in range(3):
                ledger.append(ASKED | {"trial": trial})
        content = path.read_bytes()
        cut = round(share * len(content))
        path.write_bytes(content[:cut])
        whole = content[:cut].count(b"\n")
        assert len(read_events(path)) == whole
        with Ledger(path) as ledger:
            ledger.append(ASKED | {"trial": 9})
        assert [event["trial"] for event in read_events(path)] == [*range(whole), 9]


@pytest.mark.parametrize("damaged", ["nonsense", "[1]", "{}", '{"event": "asked"', "\0\0\0"])
def test_a_damaged_line_is_named(tmp_path: Path, damaged: str) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text(f"{json.dumps(ASKED)}\n{damaged}\n{json.dumps(ASKED)}\n")
    for open_it in (Ledger, read_events):
        with pytest.raises(UserError, match=r"ledger.jsonl:2: no event of a sweep"):
            open_it(path)
    with pytest.raises(UserError):  # the lock was let go of
        Ledger(path)


def test_there_is_one_writer(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    program = f"""
from pathlib import Path
from modules.sweeps.control.ledger import Ledger, read_events
print(len(read_events(Path({str(path)!r}))))
Ledger(Path({str(path)!r}))
"""
    with Ledger(path) as ledger:
        ledger.append(ASKED)
        ran = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
        assert ran.stdout == "1\n" and "another process runs the sweep" in ran.stderr
    Ledger(path).close()


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"can't write .*A file is in its place"):
        Ledger(tmp_path / "file" / "ledger.jsonl")


def test_every_event_is_on_the_disk_when_append_returns(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    program = f"""
import os
from pathlib import Path
from modules.sweeps.control.ledger import Ledger
ledger = Ledger(Path({str(path)!r}))
for trial in range(100):
    ledger.append({{"event": "asked", "trial": trial}})
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)
    assert [event["trial"] for event in read_events(path)] == list(range(100))
