"""What an evaluator shows besides figures, charts and images: texts, sounds, strips, animations, galleries.

Each is written as plain files into `exhibits/`; `exhibits.json` there tells of them in the report's order:
[{"kind", "name", "title", "caption", and what the kind has}], files by their names.
"""

import wave
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy
from PIL import Image

FULL_SCALE = 32767
"""The largest sample of 16-bit sound."""


@dataclass(frozen=True)
class TextTable:
    """A table of texts, such as source, truth and answer.

    Attributes:
        name: stem of its files, like that of every exhibit.
        title: above it.
        caption: what is to be seen, in a sentence or two.
        columns: their headings.
        rows: texts of each row, one for each column; line breaks are kept.
    """

    kind: ClassVar = "table"
    name: str
    title: str
    caption: str
    columns: list[str]
    rows: list[list[str]]

    def write(self, folder: Path) -> dict[str, Any]:
        """Writes its files, and returns what exhibits.json says of it."""
        return {"columns": self.columns, "rows": self.rows}


@dataclass(frozen=True)
class Sound:
    """One sound.

    Attributes:
        label: what it is.
        samples: [time] in -1..1; what lies outside is cut off.
        sample_rate_hz: of its samples.
    """

    label: str
    samples: numpy.ndarray
    sample_rate_hz: int


@dataclass(frozen=True)
class SoundPlayers:
    """Sounds to listen to."""

    kind: ClassVar = "sounds"
    name: str
    title: str
    caption: str
    sounds: list[Sound]

    def write(self, folder: Path) -> dict[str, Any]:
        """Writes a wav file each, 16 bits, mono."""
        entries = []
        for number, sound in enumerate(self.sounds):
            file = folder / f"{self.name}-{number}.wav"
            level = (numpy.clip(sound.samples, -1, 1) * FULL_SCALE).round().astype("<i2")
            with wave.open(str(file), "wb") as written:
                written.setnchannels(1)
                written.setsampwidth(2)
                written.setframerate(sound.sample_rate_hz)
                written.writeframes(level.tobytes())
            entries.append({"label": sound.label, "file": file.name})
        return {"sounds": entries}


@dataclass(frozen=True)
class Strip:
    """Images in a row.

    Attributes:
        label: beside it.
        images: uint8, [height, width] or [height, width, 3].
    """

    label: str
    images: list[numpy.ndarray]


@dataclass(frozen=True)
class ImageStrips:
    """Rows of images side by side, such as a sample in every stage of a network.

    Attributes:
        columns: above the images; none where it is empty.
        strips: the rows.
    """

    kind: ClassVar = "strips"
    name: str
    title: str
    caption: str
    columns: list[str]
    strips: list[Strip]

    def write(self, folder: Path) -> dict[str, Any]:
        """Writes a PNG for each image."""
        entries = []
        for row, strip in enumerate(self.strips):
            files = [folder / f"{self.name}-{row}-{column}.png" for column in range(len(strip.images))]
            for image, file in zip(strip.images, files, strict=True):
                Image.fromarray(image).save(file)
            entries.append({"label": strip.label, "files": [file.name for file in files]})
        return {"columns": self.columns, "strips": entries}


@dataclass(frozen=True)
class Animation:
    """Images one after another; the report moves them only where the reader's system allows motion.

    Attributes:
        frames: uint8, [height, width] or [height, width, 3], all of one shape; at least one.
        frames_per_s: their speed.
    """

    kind: ClassVar = "animation"
    name: str
    title: str
    caption: str
    frames: list[numpy.ndarray]
    frames_per_s: float

    def write(self, folder: Path) -> dict[str, Any]:
        """Writes a PNG for each frame."""
        files = [folder / f"{self.name}-{number:03d}.png" for number in range(len(self.frames))]
        for frame, file in zip(self.frames, files, strict=True):
            Image.fromarray(frame).save(file)
        return {"files": [file.name for file in files], "frames_per_s": self.frames_per_s}


@dataclass(frozen=True)
class Box:
    """A box over an image, in its pixels from the top left corner.

    Attributes:
        left: smallest x.
        top: smallest y.
        right: largest x.
        bottom: largest y.
        label: what it holds; what has one label has one colour.
        score: how sure the model is, 0..1; None where it says nothing of it.
    """

    left: float
    top: float
    right: float
    bottom: float
    label: str = ""
    score: float | None = None


@dataclass(frozen=True)
class Mask:
    """A region of an image.

    Attributes:
        label: what it is.
        pixels: bool, [height, width] of the image.
    """

    label: str
    pixels: numpy.ndarray


@dataclass(frozen=True)
class AnnotatedImage:
    """An image with what a model says of its places.

    Attributes:
        label: caption below it.
        pixels: uint8, [height, width] or [height, width, 3].
        boxes: over it.
        masks: over it.
        heat: float in 0..1, [height, width], over it; None where there is none.
    """

    label: str
    pixels: numpy.ndarray
    boxes: list[Box] = field(default_factory=list)
    masks: list[Mask] = field(default_factory=list)
    heat: numpy.ndarray | None = None


@dataclass(frozen=True)
class Gallery:
    """Images with boxes, masks, heat maps and captions."""

    kind: ClassVar = "gallery"
    name: str
    title: str
    caption: str
    images: list[AnnotatedImage]

    def write(self, folder: Path) -> dict[str, Any]:
        """Writes a PNG for each image, mask and heat map."""
        entries = []
        for number, image in enumerate(self.images):
            stem = f"{self.name}-{number}"
            Image.fromarray(image.pixels).save(folder / f"{stem}.png")
            masks = []
            for place, mask in enumerate(image.masks):
                Image.fromarray(mask.pixels.astype(numpy.uint8) * 255).save(
                    folder / f"{stem}-mask{place}.png"
                )
                masks.append({"label": mask.label, "file": f"{stem}-mask{place}.png"})
            entry = {"label": image.label, "file": f"{stem}.png", "masks": masks}
            entry |= {"boxes": [asdict(box) for box in image.boxes], "heat": None}
            if image.heat is not None:
                grey = (numpy.clip(image.heat, 0, 1) * 255).round().astype(numpy.uint8)
                Image.fromarray(grey).save(folder / f"{stem}-heat.png")
                entry["heat"] = f"{stem}-heat.png"
            entries.append(entry)
        return {"images": entries}


Exhibit = TextTable | SoundPlayers | ImageStrips | Animation | Gallery
KINDS: dict[str, type[Exhibit]] = {
    kind.kind: kind for kind in (TextTable, SoundPlayers, ImageStrips, Animation, Gallery)
}


def exhibit_entry(exhibit: Exhibit, folder: Path) -> dict[str, Any]:
    """Writes an exhibit's files into a folder, and returns what exhibits.json says of it."""
    about = {"kind": exhibit.kind, "name": exhibit.name, "title": exhibit.title, "caption": exhibit.caption}
    return about | exhibit.write(folder)
