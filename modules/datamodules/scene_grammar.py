"""What is said of a scene: coloured things, how large they are, how many, and where one is beside another.

A scene is either one to several alike things ("three small red cars"), or one thing in relation to another
("a large blue hat left of a small red car"). The same scene may be described in several wordings; all of
them are known, so that a caption can be told right from wrong exactly.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Literal, NamedTuple

import numpy as np

from modules.configuration.errors import UserError

Relation = Literal["left of", "right of", "above", "below"]
OPPOSITE: dict[str, Relation] = {
    "left of": "right of",
    "right of": "left of",
    "above": "below",
    "below": "above",
}
SIZES = ("small", "large")
SEPARATOR = "|"
"""Between the wordings of one scene where these are one text."""
_NUMBERS = ("no", "a", "two", "three", "four")


class Thing(NamedTuple):
    """Something that is seen, by what it is called.

    Attributes:
        size: small or large.
        colour: a name.
        noun: in the singular.
    """

    size: str
    colour: str
    noun: str

    def phrase(self, count: int = 1) -> str:
        """Such as `a large red car` or `two large red cars`."""
        return f"{_NUMBERS[count]} {self.size} {self.colour} {self.noun}{'s' if count > 1 else ''}"


@dataclass(frozen=True)
class Meaning:
    """What a scene shows.

    Attributes:
        first: one thing, or each of several that are alike.
        count: of them; 1 where there is a second.
        relation: of the first to the second.
        second: None where all are alike.
    """

    first: Thing
    count: int = 1
    relation: Relation | None = None
    second: Thing | None = None

    def wordings(self) -> list[str]:
        """Every sentence that says it, in an order that stays."""
        one = self.first.phrase(self.count)
        if self.second is None or self.relation is None:
            return [one, f"there {'are' if self.count > 1 else 'is'} {one}", f"we see {one}"]
        other = self.second.phrase()
        found = []
        for left, relation, right in ((one, self.relation, other), (other, OPPOSITE[self.relation], one)):
            found += [f"{left} {relation} {right}", f"{left} is {relation} {right}"]
            found += [f"{relation} {right} there is {left}"]
        return found


class Grammar:
    """Which things there are, and which pairs of colour and noun are kept from training.

    Args:
        nouns: of things, whose plural is with an s.
        colours: that they may have.
        held_out: of nouns, the colours that no scene of training shows them in.
        share_of_pairs: of the scenes, that show two things in relation.
        most_alike: of `small` and `large` things, how many there are of one kind at most.

    Raises:
        UserError: a noun or colour is held out that there is not, or none is left for a noun; a share is not
            in 0..1, or a number cannot be said.
    """

    def __init__(
        self,
        nouns: Iterable[str],
        colours: Iterable[str],
        held_out: Mapping[str, Sequence[str]],
        share_of_pairs: float,
        most_alike: Mapping[str, int],
    ) -> None:
        said = range(1, len(_NUMBERS))
        if set(most_alike) != set(SIZES) or not all(number in said for number in most_alike.values()):
            raise UserError(
                f"reader.most_alike is {dict(most_alike)}", "Write {small: 4, large: 3}, of 1 to 4"
            )
        if not 0 <= share_of_pairs <= 1:
            raise UserError(f"reader.share_of_pairs={share_of_pairs} is no share", "Give one in 0..1")
        self.share_of_pairs, self.most_alike = share_of_pairs, most_alike
        self.nouns, self.colours = list(nouns), list(colours)
        for noun, some in held_out.items():
            if noun not in self.nouns or not set(some) < set(self.colours):
                raise UserError(
                    f"reader.held_out has {noun}: {list(some)}",
                    f"Name one of {', '.join(self.nouns)}, and some but not all of {', '.join(self.colours)}",
                )
        pairs = list(product(self.colours, self.nouns))
        self.held_out = [(colour, noun) for colour, noun in pairs if colour in held_out.get(noun, ())]
        self.seen = [pair for pair in pairs if pair not in self.held_out]

    def sampled(self, rng: np.random.Generator, held_out: bool) -> Meaning:
        """A scene of pairs that training shows, or with one thing at least that is held out.

        Raises:
            UserError: a held-out thing is asked for, and there is none.
        """
        if held_out and not self.held_out:
            raise UserError("reader.held_out names no pair, and a split shows them", "Name some colours")
        first = self._thing(rng, self.held_out if held_out else self.seen)
        if rng.random() >= self.share_of_pairs:
            return Meaning(first, int(rng.integers(1, self.most_alike[first.size], endpoint=True)))
        second = self._thing(rng, self.seen)
        if held_out and rng.random() < 0.5:
            first, second = second, first
        if second == first:  # nothing could tell one from the other
            return self.sampled(rng, held_out)
        return Meaning(first, 1, tuple(OPPOSITE)[int(rng.integers(4))], second)  # pyright: ignore

    def distinct(
        self, number: int, generators: Iterable[np.random.Generator], held_out: bool
    ) -> list[Meaning]:
        """As many scenes, of which no two mean the same, in any wording.

        Args:
            number: of scenes.
            generators: one for each.
            held_out: see `sampled`.

        Raises:
            UserError: there are not as many.
        """
        seen: set[frozenset[str]] = set()
        found: list[Meaning] = []
        for rng in generators:
            for _ in range(1000):
                meaning = self.sampled(rng, held_out)
                words = frozenset(meaning.wordings())
                if words not in seen:
                    break
            else:
                raise UserError(f"there are no {number} scenes that differ", "Ask for fewer")
            seen.add(words)
            found.append(meaning)
        return found

    def _thing(self, rng: np.random.Generator, pairs: Sequence[tuple[str, str]]) -> Thing:
        colour, noun = pairs[int(rng.integers(len(pairs)))]
        return Thing(SIZES[int(rng.integers(2))], colour, noun)
