"""What is said of clips: every wording, and what a wording says."""

import numpy as np
import pytest

from modules.configuration.errors import UserError
from modules.datamodules.motion_grammar import ACTIONS, MEET, Actor, Event, MotionGrammar, said

CAR, COW = Actor("red", "car"), Actor("yellow", "cow")


def test_one_thing_in_every_wording() -> None:
    assert Event("move left", CAR).wordings() == [
        "a red car moves to the left",
        "a red car is moving to the left",
        "we see a red car move to the left",
    ]
    assert Event("move up", CAR).wordings()[0] == "a red car moves up"
    assert Event("jump", CAR).wordings()[1] == "a red car is jumping"


def test_a_meeting_is_said_from_both_sides() -> None:
    assert Event(MEET, CAR, COW).wordings() == [
        "a red car meets a yellow cow",
        "a red car is meeting a yellow cow",
        "a red car and a yellow cow meet",
        "a yellow cow meets a red car",
        "a yellow cow is meeting a red car",
        "a yellow cow and a red car meet",
    ]


@pytest.mark.parametrize("action", ACTIONS)
def test_every_wording_says_the_same_and_no_other_action(action: str) -> None:
    second = COW if action == MEET else None
    things = (("red", "car"), ("yellow", "cow")) if second else (("red", "car"),)
    for text in Event(action, CAR, second).wordings():
        assert said(text) == (action, things), text


@pytest.mark.parametrize(
    ("text", "action", "things"),
    [
        ("", None, ()),
        ("smiling face", None, ()),
        ("a red car moves", None, (("red", "car"),)),
        ("a red car meets", MEET, (("red", "car"),)),
        ("a red jumps", "jump", (("red", "jumps"),)),
    ],
)
def test_what_is_no_sentence_says_as_much_as_it_does(
    text: str, action: str | None, things: tuple[tuple[str, str], ...]
) -> None:
    assert said(text) == (action, things)


def test_events_are_sampled_alike_and_two_that_meet_differ() -> None:
    grammar, rng = MotionGrammar(["car", "cow"], ["red", "blue"], 0.25), np.random.default_rng(0)
    events = [grammar.sampled(rng) for _ in range(4000)]
    counts = {action: sum(event.action == action for event in events) for action in ACTIONS}
    assert 900 < counts.pop(MEET) < 1100
    assert all(310 < count < 440 for count in counts.values())
    assert all((event.second is not None) == (event.action == MEET) for event in events)
    assert all(event.first != event.second for event in events)
    assert {event.first for event in events} == set(grammar.actors)


@pytest.mark.parametrize(
    ("nouns", "share", "message"), [(["car"], 0.5, "make 1 thing"), (["car", "cow"], 2.0, "no share")]
)
def test_what_cannot_be_is_one_line(nouns: list[str], share: float, message: str) -> None:
    with pytest.raises(UserError, match=message) as raised:
        MotionGrammar(nouns, ["red"], share)
    assert "\n" not in str(raised.value)
