"""Messages of a program spoken by eSpeak NG: speech without end whose every word is known, to pretrain on.

Rosenberg et al. (2019), *Speech recognition with augmented synthesized speech*, arXiv 1909.11699. Rooms,
noise and levels as of `modules.datamodules.formats.spoken_numbers`.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.formats.spoken_numbers import SpokenColumns, check_voices, heard, speak
from modules.datamodules.formats.spoken_prompts import as_spoken
from modules.datamodules.formats.translated_messages import translated_messages
from modules.datamodules.samples import Samples, raw_path
from modules.datamodules.seeded import generator_of

_NOT_READ = re.compile(r"[A-Z]{2}|[^\x00-\x7f]|\d|[/_.]\w")
"""In a message whose letters say little of how it is read: abbreviations, names of files, other alphabets."""
_WORDS_PER_MINUTE, _PITCH = (130, 210), (30, 75)


class SpokenMessagesReader:
    """Messages, each said once, the fields `sound` and `text`; neither text nor voice is in two splits.

    Args:
        library: eSpeak NG's library beneath the source; espeak-ng-data lies in its folder.
        messages: beneath the source, the folder of `.mo` files.
        accents: eSpeak's variants of English, such as `en-us`.
        voices: eSpeak's variants of a voice, of each split.
        num_utterances: of each split.
        words: the fewest and the most words of a message.
        seed: of all chance.

    Raises:
        UserError: there is no accent or voice, a voice is in two splits, or splits differ.
    """

    def __init__(
        self,
        library: str,
        messages: str,
        accents: Sequence[str],
        voices: Mapping[str, Sequence[str]],
        num_utterances: Mapping[str, int],
        words: tuple[int, int] | list[int] = (1, 10),
        seed: int = 0,
    ) -> None:
        check_voices(accents, voices, num_utterances, "utterances")
        self.library, self.messages, self.words = library, messages, words
        self.accents, self.voices = accents, voices
        self.num_utterances, self.seed = num_utterances, seed

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The splits; a sample's key is its number.

        Raises:
            UserError: the fields are others, or there are fewer messages than utterances.
        """
        sound = fields.get("sound")
        rate = sound.sample_rate_hz if sound is not None and sound.dtype == "float32" else None
        if set(fields) != {"sound", "text"} or rate is None:
            raise UserError(
                f"the dataset has the fields {', '.join(fields)}",
                "Describe sound, float32 [time] with sample_rate_hz, and text",
            )
        library = raw_path(raw, self.library)
        found = translated_messages(raw_path(raw, self.messages), self.words)
        spoken = (as_spoken(message) for message in found if not _NOT_READ.search(message))
        texts = [text for text in dict.fromkeys(spoken) if text]
        wanted = sum(self.num_utterances.values())
        if len(texts) < wanted:
            raise UserError(
                f"reader.num_utterances are {wanted:,}, and there are {len(texts):,} messages",
                "Ask for fewer, or widen reader.words",
            )
        order = generator_of(self.seed, "texts", 0).permutation(len(texts)).tolist()
        splits: dict[str, Samples] = {}
        for split, count in self.num_utterances.items():
            chosen, order = [texts[number] for number in order[:count]], order[count:]
            splits[split] = _Utterances(self, library, split, chosen, rate)
        return splits


class _Utterances:
    """Utterances spoken when they are asked for."""

    def __init__(
        self, reader: SpokenMessagesReader, library: Path, split: str, texts: list[str], rate: int
    ) -> None:
        self.keys = self.places = [str(number) for number in range(len(texts))]
        self.notes: list[str] = []
        self._reader, self._library, self._split = reader, library, split
        self._texts, self._rate = texts, rate

    def read(self, numbers: np.ndarray) -> Mapping[str, list]:
        reader, rngs, asked = self._reader, [], []
        voices = reader.voices[self._split]
        for number in numbers.tolist():
            rng = generator_of(reader.seed, self._split, number)
            accent = reader.accents[int(rng.integers(len(reader.accents)))]
            voice = f"{accent}+{voices[int(rng.integers(len(voices)))]}"
            speed, pitch = int(rng.integers(*_WORDS_PER_MINUTE)), int(rng.integers(*_PITCH))
            asked.append((self._texts[number], voice, speed, pitch))
            rngs.append(rng)

        def sounds() -> list[np.ndarray]:
            rate, spoken = speak(self._library, asked)
            return [heard(one, rate, self._rate, rng) for one, rng in zip(spoken, rngs, strict=True)]

        return SpokenColumns([text for text, *_ in asked], sounds)
