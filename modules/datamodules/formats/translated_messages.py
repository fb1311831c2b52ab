"""What a program says, in English and in another language: compiled catalogues of GNU gettext (`.mo`).

GNU gettext manual, section 10.3; a message's context stands before it, with U+0004 between.
"""

import gettext
import re
from pathlib import Path

from modules.configuration.errors import UserError
from modules.configuration.regular_file import open_regular
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.samples import ArraySamples, Samples, raw_path

_PLACEHOLDER = re.compile(r"[%$<>{}\\|]")
"""In what is no plain sentence: a place for a value, or markup."""
_KEY_MARK = re.compile(r"[_~](?=\w)|(?<=\w)[_~]")
"""Marks the letter that a key chooses."""


class TranslatedMessagesReader:
    """Pairs of a message and its translation; a message that comes several times counts once.

    Left out is what has a place for a value or markup in it, and what is not translated.

    Args:
        folder: beneath the source, the folder of the `.mo` files.
        words: the fewest and the most words of a message.
        split: the name of the one split that they make.

    Raises:
        UserError: it is no range of words.
    """

    def __init__(self, folder: str, words: tuple[int, int] | list[int], split: str = "train") -> None:
        if len(words) != 2 or not 1 <= words[0] <= words[1]:
            raise UserError(f"reader.words={list(words)} is no range", "Write [fewest, most], 1 or more")
        self.folder, self.words, self.split = folder, words, split

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The one split with `source`, English, and `target`; the words of a message, in lower case, choose
        where it goes, so that what differs in its capitals and signs alone lies in one split.

        Raises:
            UserError: the fields are others, or there are no such files.
        """
        if set(fields) != {"source", "target"}:
            raise UserError(f"the fields are {', '.join(fields)}", "Write source and target")
        pairs = translated_messages(raw_path(raw, self.folder), self.words)
        columns = {"source": list(pairs), "target": list(pairs.values())}
        places = [" ".join(re.findall(r"\w+", english.lower())) for english in pairs]
        return {self.split: ArraySamples([str(n) for n in range(len(pairs))], columns, places)}


def translated_messages(folder: Path, words: tuple[int, int] | list[int]) -> dict[str, str]:
    """English messages and their translations, each message once.

    Args:
        folder: of the `.mo` files.
        words: the fewest and the most words of a message.

    Raises:
        UserError: there are no such files, or no such message in them.
    """
    files = sorted(folder.glob("*.mo"))
    if not files:
        raise UserError(f"{folder} holds no .mo file", "Name the folder of the catalogues")
    pairs: dict[str, str] = {}
    for file in files:
        for message, translation in _catalogue(file).items():
            english, other = _plain(message.rpartition("\x04")[2]), _plain(translation)
            if _is_sentence(english, words) and other and english != other:
                pairs.setdefault(english, other)
    if not pairs:
        raise UserError(f"{folder} holds no message of {words} words", "Widen reader.words")
    return pairs


def _is_sentence(text: str, words: tuple[int, int] | list[int]) -> bool:
    return words[0] <= len(text.split()) <= words[1] and not _PLACEHOLDER.search(text)


def _catalogue(file: Path) -> dict[str, str]:
    try:
        with open_regular(file, links=True) as opened:
            found = gettext.GNUTranslations(opened)._catalog  # pyright: ignore[reportAttributeAccessIssue]
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is no catalogue of gettext ({error})", "Fetch it again") from error
    # A message with a plural has a number beside it: its first form counts.
    singular = {key if isinstance(key, str) else key[0]: value for key, value in reversed(found.items())}
    return {key: value for key, value in singular.items() if key}


def _plain(text: str) -> str:
    return " ".join(_KEY_MARK.sub("", text).split())
