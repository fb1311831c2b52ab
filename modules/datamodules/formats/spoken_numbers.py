"""English numbers spoken by eSpeak NG: many voices and accents, fast and slow, in rooms and noise.

Utterances are spoken when they are asked for. A room is its impulse response, the sound itself and then noise
that dies away exponentially by 60 dB in the time T60: Polack (1988), *La transmission de l'énergie sonore
dans les salles*, thesis. The noise of the surroundings has a power density of 1/f^a.
"""

import functools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from scipy import signal

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.formats import espeak_speaker
from modules.datamodules.samples import Samples, raw_path
from modules.datamodules.seeded import generator_of

_ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"),
    *("twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_WORDS_PER_MINUTE, _PITCH = (150, 230), (30, 70)
_SILENCE_S = (0.02, 0.2)
"""Before and after each utterance."""
_T60_S, _REVERBERATION_DB = (0.05, 0.4), (-25.0, -3.0)
"""Reverberation: its time, and its energy beside that of the sound itself."""
_NOISE_DB, _NOISE_EXPONENT = (-40.0, -10.0), (0.0, 2.0)
"""Noise: its energy beside that of the sound, and a."""
_PEAK = (0.2, 0.9)
_LIMIT_S = 600


def number_in_words(number: int) -> str:
    """A number below a million as it is said in the United States: four hundred seven thousand one."""
    if number >= 1000:
        rest = f" {number_in_words(number % 1000)}" if number % 1000 else ""
        return f"{number_in_words(number // 1000)} thousand{rest}"
    if number >= 100:
        return f"{_ONES[number // 100]} hundred" + (
            f" {number_in_words(number % 100)}" if number % 100 else ""
        )
    if number >= 20:
        return _TENS[number // 10 - 2] + (f" {_ONES[number % 10]}" if number % 10 else "")
    return _ONES[number]


class SpokenNumbersReader:
    """Numbers, as many of each count of digits, said by the voices of a split.

    Args:
        library: eSpeak NG's library beneath the source; espeak-ng-data lies in its folder.
        accents: eSpeak's variants of English, such as `en-us`.
        voices: eSpeak's variants of a voice, of each split.
        num_utterances: of each split.
        max_digits: of a number, 1 to 6.
        seed: of all chance; an utterance depends on it, its split and its number alone.

    Raises:
        UserError: there is no accent or voice, a voice is in two splits, splits differ, or `max_digits` is
            out of range.
    """

    def __init__(
        self,
        library: str,
        accents: Sequence[str],
        voices: Mapping[str, Sequence[str]],
        num_utterances: Mapping[str, int],
        max_digits: int = 6,
        seed: int = 0,
    ) -> None:
        check_voices(accents, voices, num_utterances, "numbers")
        if not 1 <= max_digits <= 6:
            raise UserError(f"reader.max_digits={max_digits} is not 1 to 6", "Numbers end below a million")
        self.library, self.accents, self.voices = library, accents, voices
        self.num_utterances, self.max_digits, self.seed = num_utterances, max_digits, seed

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The splits with `sound` and `text`; an utterance's key is its number.

        Raises:
            UserError: the fields are others.
        """
        sound = fields.get("sound")
        rate = sound.sample_rate_hz if sound is not None and sound.dtype == "float32" else None
        if set(fields) != {"sound", "text"} or rate is None:
            raise UserError(
                f"the dataset has the fields {', '.join(fields)}",
                "Describe sound, float32 [time] with sample_rate_hz, and text, with a vocabulary of words",
            )
        library = raw_path(raw, self.library)
        return {
            split: _Utterances(self, library, split, voices, rate) for split, voices in self.voices.items()
        }


class _Utterances:
    """Utterances spoken when they are asked for."""

    def __init__(
        self, reader: SpokenNumbersReader, library: Path, split: str, voices: Sequence[str], rate: int
    ) -> None:
        self.keys = self.places = [str(number) for number in range(reader.num_utterances[split])]
        self.notes: list[str] = []
        self._reader, self._library, self._split, self._voices = reader, library, split, voices
        self._rate = rate

    def read(self, numbers: np.ndarray) -> Mapping[str, list]:
        rngs, asked = [], []
        for number in numbers.tolist():
            rngs.append(generator_of(self._reader.seed, self._split, number))
            asked.append(self._utterance(number, rngs[-1]))

        def sounds() -> list[np.ndarray]:
            rate, spoken = speak(self._library, asked)
            return [heard(one, rate, self._rate, rng) for one, rng in zip(spoken, rngs, strict=True)]

        return SpokenColumns([text for text, *_ in asked], sounds)

    def _utterance(self, number: int, rng: np.random.Generator) -> tuple[str, str, int, int]:
        digits = 1 + number % self._reader.max_digits
        value = int(rng.integers(10 ** (digits - 1) if digits > 1 else 0, 10**digits))
        accent = self._reader.accents[int(rng.integers(len(self._reader.accents)))]
        voice = f"{accent}+{self._voices[int(rng.integers(len(self._voices)))]}"
        speed = int(rng.integers(*_WORDS_PER_MINUTE))
        return number_in_words(value), voice, speed, int(rng.integers(*_PITCH))


class SpokenColumns(Mapping[str, list]):
    """Texts, and sounds that are made when they are asked for: a vocabulary is made of the texts alone."""

    def __init__(self, texts: list[str], sounds: Callable[[], list[np.ndarray]]) -> None:
        self._makers = {"text": lambda: texts, "sound": functools.cache(sounds)}

    def __getitem__(self, name: str) -> list:
        return self._makers[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._makers)

    def __len__(self) -> int:
        return len(self._makers)


def speak(library: Path, utterances: Sequence[tuple[str, str, int, int]]) -> tuple[int, list[np.ndarray]]:
    """Utterances as eSpeak says them: the sample rate, and of each int16 [time].

    Args:
        library: eSpeak NG's, with espeak-ng-data beside it.
        utterances: text, voice, words a minute and pitch 0..99 of each.

    Raises:
        UserError: it cannot be run here, or has no such voice.
    """
    command = [sys.executable, "-I", espeak_speaker.__file__, str(library), str(library.parent)]
    asked = json.dumps(utterances).encode()
    try:
        done = subprocess.run(command, input=asked, capture_output=True, timeout=_LIMIT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UserError(f"eSpeak does not answer ({error})", "Try again") from error
    if done.returncode != 0:
        said = "; ".join(done.stderr.decode(errors="replace").strip().splitlines()[-2:])
        raise UserError(said or f"eSpeak ended with {done.returncode}", "It runs on Linux on x86-64 alone")
    rate, found, place = int(np.frombuffer(done.stdout, np.int32, 1)[0]), [], 4
    while place < len(done.stdout):
        count = int(np.frombuffer(done.stdout, np.int32, 1, place)[0])
        found.append(np.frombuffer(done.stdout, np.int16, count, place + 4))
        place += 4 + 2 * count
    return rate, found


def heard(spoken: np.ndarray, rate_hz: int, wanted_hz: int, rng: np.random.Generator) -> np.ndarray:
    """A sound in a room with noise, float32 [time] in -1..1.

    Args:
        spoken: int16 [time].
        rate_hz: its sample rate.
        wanted_hz: that of what is heard.
        rng: of room, noise and level.
    """
    common = int(np.gcd(rate_hz, wanted_hz))
    dry = signal.resample_poly(spoken / 32768, wanted_hz // common, rate_hz // common)
    dry = np.pad(dry, [int(silence * wanted_hz) for silence in rng.uniform(*_SILENCE_S, 2)])
    t60_s = rng.uniform(*_T60_S)
    tail = rng.normal(size=int(t60_s * wanted_hz)) * 10 ** (-3 * np.linspace(0, 1, int(t60_s * wanted_hz)))
    tail *= 10 ** (rng.uniform(*_REVERBERATION_DB) / 20) / np.linalg.norm(tail)
    wet = dry + signal.fftconvolve(dry, np.concatenate([[0.0], tail]))[: len(dry)]
    frequencies = np.maximum(np.fft.rfftfreq(len(wet), 1 / wanted_hz), 50.0)
    coloured = np.fft.rfft(rng.normal(size=len(wet))) * frequencies ** (-rng.uniform(*_NOISE_EXPONENT) / 2)
    noise = np.fft.irfft(coloured, len(wet))
    noise *= 10 ** (rng.uniform(*_NOISE_DB) / 20) * np.linalg.norm(wet) / np.linalg.norm(noise)
    loud = wet + noise
    return (loud * rng.uniform(*_PEAK) / np.abs(loud).max()).astype(np.float32)


def check_voices(
    accents: Sequence[str],
    voices: Mapping[str, Sequence[str]],
    num_utterances: Mapping[str, int],
    spoken: str,
) -> None:
    """
    Args:
        accents: that voices speak in.
        voices: of each split.
        num_utterances: of each split.
        spoken: what is said, in the plural.

    Raises:
        UserError: there is no accent or voice, a voice is in two splits, or splits differ.
    """
    everyone = [voice for some in voices.values() for voice in some]
    if not accents or set(voices) != set(num_utterances) or not all(voices.values()):
        raise UserError(
            f"reader has {len(accents)} accents, voices of {sorted(voices)},"
            f" {spoken} of {sorted(num_utterances)}",
            "Name an accent or more, and for each split its voices and a number of utterances",
        )
    if twice := next((one for one in everyone if everyone.count(one) > 1), None):
        raise UserError(f"reader.voices has {twice!r} twice", "A voice is in one split")
