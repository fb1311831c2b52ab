"""Reads the exhibits of an evaluation, as they were before modules/evaluation/exhibits.py wrote them."""

import io
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
from PIL import Image, UnidentifiedImageError

from modules.evaluation.exhibits import (
    FULL_SCALE,
    Animation,
    AnnotatedImage,
    Box,
    Exhibit,
    Gallery,
    ImageStrips,
    Mask,
    Sound,
    SoundPlayers,
    Strip,
    TextTable,
)
from modules.report.files import broken, finite, read_beside, read_json

Entry = dict[str, Any]


def read_exhibits(path: Path) -> list[Exhibit]:
    """The exhibits that a document tells of; none where it is not there.

    Raises:
        UserError: the document or a file that it names is of another form.
    """
    if not path.is_file():
        return []
    found = []
    for entry in read_json(path, kind=list):
        try:
            about = (str(entry["name"]), str(entry["title"]), str(entry["caption"]))
            found.append(_READERS[entry["kind"]](path, about, entry))
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise broken(path, f"holds an exhibit of another form ({error})") from error
    return found


About = tuple[str, str, str]
"""Name, title, caption."""


def _table(path: Path, about: About, entry: Entry) -> Exhibit:
    columns = [str(one) for one in entry["columns"]]
    rows = [[str(cell) for cell in row] for row in entry["rows"]]
    if any(len(row) != len(columns) for row in rows):
        raise ValueError("a row of another length than the headings")
    return TextTable(*about, columns, rows)


def _sounds(path: Path, about: About, entry: Entry) -> Exhibit:
    sounds = []
    for one in entry["sounds"]:
        try:
            with wave.open(io.BytesIO(read_beside(path, str(one["file"])))) as opened:
                if (opened.getnchannels(), opened.getsampwidth()) != (1, 2):
                    raise ValueError("a sound that is not mono of 16 bits")
                rate = opened.getframerate()
                level = numpy.frombuffer(opened.readframes(opened.getnframes()), "<i2")
        except (wave.Error, EOFError) as error:
            raise ValueError("a sound that is no wav file") from error
        sounds.append(Sound(str(one["label"]), (level / FULL_SCALE).astype(numpy.float32), rate))
    return SoundPlayers(*about, sounds)


def _strips(path: Path, about: About, entry: Entry) -> Exhibit:
    strips = [
        Strip(str(one["label"]), [_image(path, file) for file in one["files"]]) for one in entry["strips"]
    ]
    return ImageStrips(*about, [str(one) for one in entry["columns"]], strips)


def _animation(path: Path, about: About, entry: Entry) -> Exhibit:
    frames = [_image(path, file) for file in entry["files"]]
    speed = finite(entry["frames_per_s"])
    if not frames or speed <= 0 or len({frame.shape for frame in frames}) > 1:
        raise ValueError("an animation without frames, without speed or of several sizes")
    return Animation(*about, frames, speed)


def _gallery(path: Path, about: About, entry: Entry) -> Exhibit:
    images = []
    for one in entry["images"]:
        boxes = [_box(box) for box in one["boxes"]]
        masks = [Mask(str(mask["label"]), _image(path, mask["file"]) > 127) for mask in one["masks"]]
        heat = None if one["heat"] is None else _image(path, one["heat"]).astype(numpy.float32) / 255
        pixels = _image(path, one["file"])
        overlaid = [mask.pixels for mask in masks] + ([] if heat is None else [heat])
        if any(over.shape != pixels.shape[:2] for over in overlaid):
            raise ValueError("a mask or a heat map of another size than its image")
        images.append(AnnotatedImage(str(one["label"]), pixels, boxes, masks, heat))
    return Gallery(*about, images)


def _box(entry: Entry) -> Box:
    score = None if entry["score"] is None else finite(entry["score"])
    left, top, right, bottom = (finite(entry[side]) for side in ("left", "top", "right", "bottom"))
    return Box(left, top, right, bottom, str(entry["label"]), score)


_READERS: dict[str, Callable[[Path, About, Entry], Exhibit]] = {
    TextTable.kind: _table,
    SoundPlayers.kind: _sounds,
    ImageStrips.kind: _strips,
    Animation.kind: _animation,
    Gallery.kind: _gallery,
}


def _image(path: Path, name: Any) -> numpy.ndarray:
    """uint8, [height, width] or [height, width, 3]."""
    try:
        with Image.open(io.BytesIO(read_beside(path, str(name))), formats=["PNG"]) as opened:
            return numpy.asarray(opened.convert("L" if opened.mode in ("1", "L", "LA") else "RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{name} is not a PNG image") from error
