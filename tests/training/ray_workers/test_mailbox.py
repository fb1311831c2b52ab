"""Who keeps the others from going on, by the signs of life that have come."""

import pytest

from modules.training.ray_workers import mailbox
from modules.training.ray_workers.mailbox import Mailbox, Sign


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now_s = [0.0]
    monkeypatch.setattr(mailbox.time, "monotonic", lambda: now_s[0])
    return now_s


def sign(rank: int, collectives: int = 0, still_s: float = 0.0) -> Sign:
    return Sign(rank, "there", "id", 100 + rank, collectives, still_s)


def trouble(box: Mailbox) -> str | None:
    found = box.take()[2]
    return found and f"{found.worker} {found.text}"


def test_a_silent_worker_is_found_and_one_that_has_ended_is_not(clock: list[float]) -> None:
    box = Mailbox(90.0)
    for rank in (0, 1, 2):
        box.beat(sign(rank))
    clock[0] = 60.0
    box.beat(sign(0))
    box.beat(sign(1), ended=True)
    assert trouble(box) is None
    clock[0] = 100.0
    assert trouble(box) == "worker 2 (process 102 on there) gave no sign of life for 90 s"


@pytest.mark.parametrize(
    ("signs", "found"),
    [
        ([sign(0, 8, 95), sign(1, 7, 95)], 1),
        ([sign(0, 7, 91), sign(1, 8, 0)], 0),
        ([sign(0, 8, 95), sign(1, 7, 89)], None),  # it may still come
        ([sign(0, 7, 95), sign(1, 7, 95)], None),  # a long operation of all
        ([sign(0, 0, 500)], None),
    ],
)
def test_one_that_stands_still_is_in_trouble_where_others_wait(signs: list[Sign], found: int | None) -> None:
    box = Mailbox(90.0)
    for one in signs:
        box.beat(one)
    named = box.take()[2]
    assert (named and named.worker.rank) == found


def test_reports_are_asked_of_those_that_live(clock: list[float]) -> None:
    box = Mailbox(90.0)
    box.beat(sign(2))
    clock[0] = 100.0
    assert box.beat(sign(0)) is None and box.beat(sign(1)) is None
    assert box.reports() == ({}, False)
    assert box.beat(sign(0)) == "report" == box.beat(sign(1))
    box.report(0, "here")
    assert box.beat(sign(0)) is None and box.reports() == ({0: "here"}, False)
    box.report(1, "there")
    assert box.reports() == ({0: "here", 1: "there"}, True)
    box.end(1)
    assert box.beat(sign(0)) is None and box.beat(sign(1)) == "end"
