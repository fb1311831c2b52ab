"""Emoji and what they are called: one image of each, its name, and the variants of one design in one split.

Files are named by code points, such as `1f44b-1f3fb.webp`; names are those of emojibase-data, from Unicode's
CLDR.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

from modules.configuration.errors import UserError
from modules.configuration.regular_file import read_regular_text
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.formats.captioned_files import CaptionedFiles, image_size
from modules.datamodules.samples import Samples, raw_path

_PRESENTATION = "fe0f"
"""A code point that asks for a colourful glyph; some files have it in their names, others not."""


class EmojiReader:
    """The fields `image`, laid on white, and `caption`; those without a name, and second
    images of one, are left out, and how many is said.

    Args:
        images: folder of the images beneath the source.
        names: emojibase's `data.json` of a language.
        split: the name of the one split that they make.
    """

    def __init__(self, images: str, names: str, split: str = "train") -> None:
        self.images, self.names, self.split = images, names, split

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The one split; a sample's key is its code points, its place those of its design without skin tones.

        Raises:
            UserError: the fields are others, there is no image, or the names cannot be read.
        """
        size = image_size(fields)
        named, notes = named_files(raw, self.images, self.names)
        return {
            self.split: CaptionedFiles(
                [one.file.stem for one in named],
                [one.design for one in named],
                [one.file for one in named],
                [one.name for one in named],
                size,
                notes,
            )
        }


class NamedFile(NamedTuple):
    """An emoji's file.

    Attributes:
        file: named by its code points.
        name: what it is called.
        design: its code points without skin tones.
    """

    file: Path
    name: str
    design: str


def named_files(raw: Path, images: str, names: str) -> tuple[list[NamedFile], list[str]]:
    """The files that have a name, one of each emoji, and how many are left out for what.

    Args:
        raw: the fetched source.
        images: folder of the files beneath it.
        names: emojibase's `data.json` of a language.

    Raises:
        UserError: there is no file, or the names cannot be read.
    """
    known = _names(raw_path(raw, names))
    files = sorted(raw_path(raw, images).glob("*.webp"))
    if not files:
        raise UserError(f"reader.images={images} holds no .webp", "Fetch the source again")
    by_code = {_code(file.stem): file for file in reversed(files)}
    named = [NamedFile(file, *known[code]) for code, file in sorted(by_code.items()) if code in known]
    counts = {
        "show one that another shows": len(files) - len(by_code),
        "have no name": len(by_code) - len(named),
    }
    return named, [
        f"{count} of {len(files)} images {what} and are left out" for what, count in counts.items() if count
    ]


def _names(path: Path) -> dict[str, tuple[str, str]]:
    """The name and the design of each code."""
    try:
        entries: list[dict[str, Any]] = json.loads(read_regular_text(path, links=True))
        found = {}
        for entry in entries:
            design = _code(entry["hexcode"])
            for one in (entry, *entry.get("skins", [])):
                found[_code(one["hexcode"])] = (str(one["label"]), design)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path} is no list of names ({error!r})", "Fetch the source again") from error
    return found


def _code(name: str) -> str:
    """Code points in one spelling."""
    points = [point.zfill(4) for point in name.lower().split("-")]
    return "-".join(point for point in points if point != _PRESENTATION)
