"""A made-up raw folder of cut-out objects and photographs: each design in a colour of its own."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from modules.configuration.schema.data_settings import FieldSettings

GROUPS = {"disc": ["round/*.png"], "square": ["square/*.png", "*/box.png"]}
PHOTOGRAPHS = {
    "train": ["photographs/a*.png"],
    "validation": ["photographs/b.png"],
    "test": ["photographs/c.png"],
    "test_unseen": ["photographs/c.png"],
}
NUM_SCENES = {"train": 12, "validation": 4, "test": 5, "test_unseen": 6}
SIZE = 48


def scene_fields(**changes: FieldSettings) -> dict[str, FieldSettings]:
    """The fields of scenes; `changes` replaces some."""
    classes = list(GROUPS)
    pixels = ["height", "width"]
    return {
        "image": FieldSettings("uint8", [3, SIZE, SIZE], ["channel", *pixels], "level"),
        "boxes": FieldSettings("float32", ["boxes", 4], ["box", "edge"], "px", boxes_of="image"),
        "labels": FieldSettings("int64", ["boxes"], ["box"], "class number", classes),
        "mask": FieldSettings(
            "uint8", [SIZE, SIZE], pixels, "class number", ["background", *classes], mask_of="image"
        ),
    } | changes


def write_raw_scenes(folder: Path) -> Path:
    """Six discs, five squares of which one is called otherwise, and photographs for each split."""
    for name in ("objects/round", "objects/square", "photographs"):
        (folder / name).mkdir(parents=True)
    for number in range(6):
        write_cutout(folder / f"objects/round/{number}.png", "ellipse", (250, 40 * number, 0))
    for number in range(4):
        write_cutout(folder / f"objects/square/{number}.png", "rectangle", (0, 60 * number, 250))
    write_cutout(folder / "objects/round/box.png", "ellipse", (90, 90, 90))
    rng = np.random.default_rng(0)
    for name in ("a1", "a2", "b", "c"):
        levels = rng.integers(0, 256, (60, 80, 3), np.uint8)
        Image.fromarray(levels).save(folder / f"photographs/{name}.png")
    return folder


def write_cutout(path: Path, shape: str, colour: tuple[int, int, int]) -> None:
    """A shape of 20x12 pixels amid 30x30 transparent ones."""
    image = Image.new("RGBA", (30, 30))
    getattr(ImageDraw.Draw(image), shape)((5, 9, 24, 20), fill=(*colour, 255))
    image.save(path)
