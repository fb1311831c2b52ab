"""Emoji and what they are called: one image of each, its name, and the variants of one design in one split.

Files are named by code points, such as `1f44b-1f3fb.webp`; names are those of emojibase-data, from Unicode's
CLDR.
"""

import json
from pathlib import Path
from typing import Any

from modules.configuration.errors import UserError
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
        known = _names(raw_path(raw, self.names))
        files = sorted(raw_path(raw, self.images).glob("*.webp"))
        if not files:
            raise UserError(f"reader.images={self.images} holds no .webp", "Fetch the source again")
        by_code = {_code(file.stem): file for file in reversed(files)}
        named = [(file, known[code]) for code, file in sorted(by_code.items()) if code in known]
        counts = {
            "show one that another shows": len(files) - len(by_code),
            "have no name": len(by_code) - len(named),
        }
        notes = [
            f"{count} of {len(files)} images {what} and are left out"
            for what, count in counts.items()
            if count
        ]
        return {
            self.split: CaptionedFiles(
                [file.stem for file, _ in named],
                [design for _, (_, design) in named],
                [file for file, _ in named],
                [name for _, (name, _) in named],
                size,
                notes,
            )
        }


def _names(path: Path) -> dict[str, tuple[str, str]]:
    """The name and the design of each code."""
    try:
        entries: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))
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
