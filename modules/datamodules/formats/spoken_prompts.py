"""Recordings and a list of what is said in them, a line each: `digits/7: seven`.

A text becomes small letters, apostrophes and single spaces; a digit is written out as a word. Left out
are lines that begin with a semicolon and texts with brackets, which tell of noises.
"""

import gzip
import re
from pathlib import Path

import numpy as np

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.formats.sound_folder import read_sound
from modules.datamodules.formats.spoken_numbers import number_in_words
from modules.datamodules.samples import Samples, raw_path

_LINE = re.compile(r"\s*([\w./-]+)\s*:\s*(.*\S)\s*")
_MAX_BYTES = 2**24


class SpokenPromptsReader:
    """Prompts, the fields `sound` and `text`; those of one text lie in one split.

    Args:
        texts: the list beneath the source, compressed by gzip.
        sounds: the folder of the recordings, each `<name>.wav`.
        split: the name of the one split that they make.
        max_s: longer recordings are left out.
    """

    def __init__(self, texts: str, sounds: str, split: str = "train", max_s: float = 15.0) -> None:
        self.texts, self.sounds, self.split, self.max_s = texts, sounds, split, max_s

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The one split; a sample's key is its name.

        Raises:
            UserError: the fields are others, the list cannot be read, or a recording cannot.
        """
        sound = fields.get("sound")
        rate = sound.sample_rate_hz if sound is not None else None
        if set(fields) != {"sound", "text"} or rate is None:
            raise UserError(
                f"the dataset has the fields {', '.join(fields)}",
                "Describe sound, float32 [time] with sample_rate_hz, and text",
            )
        path = raw_path(raw, self.texts)
        try:
            with gzip.open(path) as file:
                lines = file.read(_MAX_BYTES).decode("utf-8").splitlines()
        except (OSError, EOFError, ValueError) as error:
            raise UserError(f"{path} is no text compressed by gzip ({error})", "Fetch it again") from error
        return {self.split: _Prompts(raw_path(raw, self.sounds), _texts(lines), rate, self.max_s)}


def _texts(lines: list[str]) -> dict[str, str]:
    """What is said, by the names of the recordings."""
    found = {}
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None or line.startswith(";") or re.search(r"[\[\](){}<>]", match[2]):
            continue
        if text := as_spoken(match[2]):
            found[match[1]] = text
    return found


def as_spoken(text: str) -> str:
    """Small letters, apostrophes and single spaces alone; a digit is written out as a word."""
    spelled = re.sub(r"\d", lambda digit: f" {number_in_words(int(digit[0]))} ", text.lower())
    return " ".join(re.findall(r"[a-z']+", spelled))


class _Prompts:
    """Recordings read when they are asked for."""

    def __init__(self, folder: Path, texts: dict[str, str], rate: int, max_s: float) -> None:
        # A file says beforehand how long it is: its head is 44 bytes, a sample two.
        sizes = {
            name: path.stat().st_size
            for name in texts
            if (path := raw_path(folder, "") / f"{name}.wav").is_file()
        }
        self.keys = sorted(name for name, size in sizes.items() if size <= 44 + 2 * rate * max_s)
        self.places = [texts[name] for name in self.keys]
        self.notes = [f"{len(texts) - len(self.keys)} texts have no recording, or one above {max_s:g} s"]
        self._folder, self._rate = folder, rate

    def read(self, numbers: np.ndarray) -> dict[str, list]:
        chosen = numbers.tolist()
        return {
            "sound": [read_sound(self._folder / f"{self.keys[n]}.wav", self._rate) for n in chosen],
            "text": [self.places[n] for n in chosen],
        }
