"""The samples of a split that a training takes: some of each class, again and again, with more fields."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.configuration.schema.trainer_settings import TrainerSettings
from modules.datamodules.ragged import EndToEnd
from modules.datamodules.shard_split import ShardSplit

_READ_AT_ONCE = 10_000
_STREAM = 7919
"""Keeps the choice of samples apart from that of their order."""


@dataclass(frozen=True)
class ChosenSamples:
    """Some samples of a split, numbered again from 0; read like the split itself.

    Attributes:
        split: where they are.
        numbers: of the chosen ones, in the split.
        num_rounds: how often each of them counts in an epoch.
        more: further fields of every sample of the split, by name.
    """

    split: ShardSplit
    numbers: np.ndarray
    num_rounds: int = 1
    more: Mapping[str, np.ndarray] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.split.name

    @property
    def fields(self) -> Mapping[str, FieldSettings]:
        """What each sample of the split holds."""
        return self.split.fields

    @property
    def num_samples(self) -> int:
        return len(self.numbers) * self.num_rounds

    @property
    def samples_per_record(self) -> int:
        """Chosen ones lie anywhere: only where all are chosen do neighbours lie side by side."""
        return self.split.samples_per_record if self.num_samples == self.split.num_samples else 1

    def read_block(self, numbers: np.ndarray) -> dict[str, np.ndarray | EndToEnd]:
        """As `ShardSplit.read_block`."""
        chosen = self.numbers[numbers % len(self.numbers)]
        return self.split.read_block(chosen) | {name: rows[chosen] for name, rows in self.more.items()}

    def read_windows(
        self, name: str, numbers: np.ndarray, offsets: np.ndarray, length: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """As `ShardSplit.read_windows`."""
        return self.split.read_windows(name, self.numbers[numbers % len(self.numbers)], offsets, length)

    def shards_of(self, numbers: np.ndarray) -> np.ndarray:
        """As `ShardSplit.shards_of`."""
        return self.split.shards_of(self.numbers[numbers % len(self.numbers)])

    def expect(self, coming: Callable[[], np.ndarray]) -> None:
        """As `ShardSplit.expect`."""
        self.split.expect(lambda: self.numbers[coming() % len(self.numbers)])

    @property
    def bytes_fetched(self) -> int:
        """As `ShardSplit.bytes_fetched`."""
        return self.split.bytes_fetched

    def sizes(self, name: str) -> np.ndarray:
        """As `ShardSplit.sizes`."""
        return np.tile(self.split.sizes(name)[self.numbers], (self.num_rounds, 1))


def choose(
    split: ShardSplit,
    settings: TrainerSettings,
    seed: int,
    more: Mapping[str, np.ndarray] | None = None,
    label: str | None = None,
) -> ShardSplit | ChosenSamples:
    """The samples that a training takes.

    Of one seed, fewer samples of a class are always among more of them.

    Args:
        split: the training split.
        settings: how many of which classes, or of all; and how many steps make an epoch.
        seed: of the run.
        more: further fields of every sample of the split.
        label: the field of class numbers; by default the first with one class for each sample.

    Raises:
        UserError: a class has not so many samples, none is left, or samples have no class.
    """
    numbers = np.arange(split.num_samples)
    if settings.samples_per_class is not None or settings.without_classes:
        numbers = _of_classes(split, settings, seed, label)
    if settings.overfit_batches is not None:
        shuffled = np.random.default_rng((seed, _STREAM)).permutation(numbers)
        numbers = np.sort(shuffled[: settings.overfit_batches * settings.batch_size])
    num_rounds = 1
    if settings.min_steps_per_epoch > 1:
        num_rounds = -(-settings.min_steps_per_epoch * settings.batch_size // len(numbers))
    if len(numbers) == split.num_samples and num_rounds == 1 and not more:
        return split
    return ChosenSamples(split, numbers, num_rounds, more or {})


def _of_classes(split: ShardSplit, settings: TrainerSettings, seed: int, label: str | None) -> np.ndarray:
    label = label or next(
        (name for name, field in split.fields.items() if field.classes and not field.shape), None
    )
    if label is None:
        raise UserError(
            "trainer.samples_per_class and without_classes need a field with one class for each sample, and"
            " the data has none"
        )
    classes = split.fields[label].classes or []
    if unknown := [number for number in settings.without_classes if not 0 <= number < len(classes)]:
        raise UserError(f"trainer.without_classes: {unknown[0]} is no class, there are {len(classes)}")
    # Piece by piece: a piece comes with its images.
    pieces = np.array_split(np.arange(split.num_samples), split.num_samples // _READ_AT_ONCE + 1)
    labels = np.concatenate([split.read(piece)[label] for piece in pieces])
    order = np.random.default_rng((seed, _STREAM)).permutation(split.num_samples)
    chosen = []
    for number, name in enumerate(classes):
        if number in settings.without_classes:
            continue
        members = order[labels[order] == number]
        if settings.samples_per_class is not None and len(members) < settings.samples_per_class:
            raise UserError(
                f"trainer.samples_per_class={settings.samples_per_class}, but {name!r} has {len(members)}",
                f"Set it to {len(members)} or less",
            )
        chosen.append(members[: settings.samples_per_class])
    if not sum(map(len, chosen)):
        raise UserError("trainer.without_classes leaves no sample to train on")
    return np.sort(np.concatenate(chosen))
