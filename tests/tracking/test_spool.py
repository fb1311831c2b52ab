import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.tracking.spool import EVENTS, ReplayFilter, SpoolWriter, read_events, read_history


def test_every_event_comes_back_in_order_and_from_any_offset(tmp_path: Path):
    writer = SpoolWriter(tmp_path / EVENTS)
    events = [{"event": "tag", "name": f"name {number}", "value": "ä\n\0"} for number in range(5)]
    writer.write(*events[:3])
    writer.write(*events[3:])
    read = list(read_events(tmp_path / EVENTS))
    assert [event for event, _ in read] == events
    assert [event for event, _ in read_events(tmp_path / EVENTS, read[2][1])] == events[3:]
    assert read[-1][1] == writer.size()
    writer.close()


@pytest.mark.parametrize("length", [1, 10, 30])
def test_torn_line_is_invisible_until_the_next_writer_closes_it(tmp_path: Path, length: int):
    path = tmp_path / EVENTS
    first, second = ({"event": "tag", "name": name, "value": ""} for name in ("first", "second"))
    path.write_bytes(json.dumps(first).encode() + b"\n" + json.dumps(second).encode()[:length])
    assert [event for event, _ in read_events(path)] == [first]
    writer = SpoolWriter(path)
    writer.write(second)
    writer.close()
    assert [event for event, _ in read_events(path)] == [first, None, second]


def test_what_a_full_disk_refuses_goes_out_with_the_next_write(tmp_path: Path):
    path = tmp_path / EVENTS
    writer = SpoolWriter(Path("/dev/full"))
    with pytest.raises(OSError, match="No space left"):
        writer.write({"event": "tag", "name": "a", "value": ""})
    os.dup2(
        os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND), writer._descriptor
    )  # the disk has room again
    writer.write({"event": "tag", "name": "b", "value": ""})
    writer.close()
    assert [event and event["name"] for event, _ in read_events(path)] == ["a", "b"]


def test_lines_that_are_no_events_are_torn(tmp_path: Path):
    (tmp_path / EVENTS).write_bytes(b'[1]\n{"no": 1}\n\xff\xfe\n\n')
    assert [event for event, _ in read_events(tmp_path / EVENTS)] == [None] * 4


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), min_size=1, max_size=6))
def test_resumed_sessions_pass_every_step_exactly_once(sessions: list[tuple[int, int]]):
    """Each session starts at a checkpoint no later than what is recorded, and gets so many steps on."""
    replays, passed, recorded = ReplayFilter(), [], 0
    for checkpoint, num_steps in sessions:
        start = min(checkpoint, recorded)
        replays.start(adding=False)
        passed += [step for step in range(start, start + num_steps) if replays.is_new("loss", 0.5, step)]
        recorded = max(recorded, start + num_steps)
    assert passed == list(range(recorded))


def test_within_a_session_steps_may_come_in_any_order_and_twice():
    replays = ReplayFilter()
    replays.start(adding=False)
    assert all(replays.is_new("loss", 0.5, step) for step in (5, 3, 3, 7))
    replays.start(adding=False)
    assert [step for step in (3, 7, 8) if replays.is_new("loss", 0.5, step)] == [8]
    assert replays.is_new("another", 0.5, 3)


def test_an_addition_may_correct_a_step_but_not_repeat_it():
    replays = ReplayFilter()
    replays.start(adding=False)
    assert replays.is_new("test/accuracy", float("nan"), 10)
    replays.start(adding=True)
    assert not replays.is_new("test/accuracy", float("nan"), 10)
    assert replays.is_new("test/accuracy", 0.9, 10)
    assert not replays.is_new("test/accuracy", 0.9, 10)


def test_history_holds_each_step_once_in_order(tmp_path: Path):
    writer = SpoolWriter(tmp_path / EVENTS)
    start = {"event": "start", "adding": False, "time_ms": 0}
    writer.write(start, {"event": "metrics", "rows": [["loss", 3.0, 1, 0], ["loss", 2.0, 2, 0]]})
    writer.write(
        start, {"event": "metrics", "rows": [["loss", 2.0, 2, 9], ["loss", 1.0, 3, 9], ["f", 1.0, 3, 9]]}
    )
    writer.close()
    assert read_history(tmp_path) == {"loss": [(1, 3.0), (2, 2.0), (3, 1.0)], "f": [(3, 1.0)]}
