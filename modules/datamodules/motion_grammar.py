"""What is said of a clip: coloured things, what they do, in which direction, and whom they meet.

The same clip may be described in several wordings; all of them are known, so that a description can be told
right from wrong exactly, and in parts: the verb with its direction, and the things that are named.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

from modules.configuration.errors import UserError

STILL = "still"
"""The class of a frame before which nothing has changed."""
MEET = "meet"
DIRECTIONS = {"left": "to the left", "right": "to the right", "up": "up", "down": "down"}
_FORMS = {
    "move": ("moves", "moving"),
    "grow": ("grows", "growing"),
    "shrink": ("shrinks", "shrinking"),
    "turn": ("turns", "turning"),
    "jump": ("jumps", "jumping"),
    MEET: ("meets", "meeting"),
}
"""Verbs with what follows he, she or it, and what follows `is`."""
ACTIONS = (*(f"move {direction}" for direction in DIRECTIONS), *(verb for verb in _FORMS if verb != "move"))
"""What is done, by verb and direction: the classes of frames after `STILL`."""
_VERBS = {form: verb for verb, forms in _FORMS.items() for form in (verb, *forms)}
_THING = re.compile(r"\ba (\w+) (\w+)")


class Actor(NamedTuple):
    """Something that does something, by what it is called.

    Attributes:
        colour: a name.
        noun: in the singular.
    """

    colour: str
    noun: str

    def phrase(self) -> str:
        """Such as `a red car`."""
        return f"a {self.colour} {self.noun}"


class Said(NamedTuple):
    """What a sentence says, whatever its wording.

    Attributes:
        action: of `ACTIONS`; None where no verb is known, or a direction is missing.
        things: colour and noun of each that is named, sorted: who meets whom is the same.
    """

    action: str | None
    things: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Event:
    """What a clip shows.

    Attributes:
        action: of `ACTIONS`.
        first: who does it.
        second: whom the first one meets; None of all other actions.
    """

    action: str
    first: Actor
    second: Actor | None = None

    def wordings(self) -> list[str]:
        """Every sentence that says it, in an order that stays."""
        verb, _, direction = self.action.partition(" ")
        does, doing = _FORMS[verb]
        one = self.first.phrase()
        if self.second is None:
            where = f" {DIRECTIONS[direction]}" if direction else ""
            return [f"{one} {does}{where}", f"{one} is {doing}{where}", f"we see {one} {verb}{where}"]
        found = []
        for left, right in ((one, self.second.phrase()), (self.second.phrase(), one)):
            found += [f"{left} {does} {right}", f"{left} is {doing} {right}", f"{left} and {right} {verb}"]
        return found


class MotionGrammar:
    """Who may do what.

    Args:
        nouns: of things.
        colours: that they may have.
        share_of_meetings: of the clips, that show two things that meet.

    Raises:
        UserError: a share is not in 0..1, or there are no two things that could meet.
    """

    def __init__(self, nouns: Iterable[str], colours: Iterable[str], share_of_meetings: float) -> None:
        if not 0 <= share_of_meetings <= 1:
            raise UserError(f"reader.share_of_meetings={share_of_meetings} is no share", "Give one in 0..1")
        self.share_of_meetings = share_of_meetings
        self.actors = [Actor(*names) for names in product(colours, nouns)]
        if len(self.actors) < 2:
            raise UserError(
                f"reader.colours and reader.groups make {len(self.actors)} thing", "Name two or more"
            )

    def sampled(self, rng: np.random.Generator) -> Event:
        """Any event; of two that meet, colour and noun are never both the same."""
        first, second = rng.choice(len(self.actors), 2, replace=False).tolist()
        if rng.random() < self.share_of_meetings:
            return Event(MEET, self.actors[first], self.actors[second])
        alone = [action for action in ACTIONS if action != MEET]
        return Event(alone[int(rng.integers(len(alone)))], self.actors[first])


def said(text: str) -> Said:
    """What a sentence says, as far as it is one of this grammar; of any other text nothing.

    Args:
        text: such as `a red car is moving to the left`.
    """
    words = text.split()
    verb = next((_VERBS[word] for word in words if word in _VERBS), None)
    if verb == "move":
        direction = next((word for word in words if word in DIRECTIONS), None)
        verb = f"move {direction}" if direction else None
    return Said(verb, tuple(sorted(_THING.findall(text))))
