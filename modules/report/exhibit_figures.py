"""Exhibits of an evaluation as the page shows them: addresses of images and sounds, outlines, colours.

Images are enlarged by a whole factor, all of a gallery by the same, so that a cell of a grid or an object is
as large in each; what lies over an image (boxes, masks, heat) is one drawing with it. An
animation stands still where the reader's system asks for reduced motion, until it is asked to play.
"""

import base64
import io
import math
import wave
from dataclasses import dataclass, field

import numpy
from markupsafe import Markup
from PIL import Image

from modules.evaluation.exhibits import (
    FULL_SCALE,
    Animation,
    AnnotatedImage,
    Exhibit,
    Gallery,
    ImageStrips,
    Sound,
    SoundPlayers,
)
from modules.report.svg import element, figure

COLOURS = ("#ffb000", "#4da3ff", "#ff5fa2", "#48d597", "#c49bff", "#ff8155", "#46d8e6", "#d6e04f")
"""Of boxes and masks, by label: bright, as they lie over images, with dark outlines."""
LARGEST_PX, COMFORTABLE_PX, CELL_PX = 480, 288, 112
GALLERY_PX = 640
"""The side of a square that the images of a gallery are no larger than: they may be wide, as grids over texts
are, whose names must stay readable."""
WAVE_WIDTH, WAVE_HEIGHT = 360, 44
MASK_OPACITY = 0.45
# From dark violet to light yellow, so that it reads in grey as well; after matplotlib's inferno.
HEAT = numpy.array([(0, 0, 4), (87, 16, 110), (188, 55, 84), (249, 142, 9), (252, 255, 164)], dtype=float)


@dataclass(frozen=True)
class Placed:
    """An image in the page.

    Attributes:
        address: `data:`.
        width_px: as shown.
        enlarged: whether single pixels are to be seen.
    """

    address: str
    width_px: int
    enlarged: bool


@dataclass(frozen=True)
class Player:
    """A sound in the page: its label with its length, its `data:` address and its outline."""

    label: str
    address: str
    outline: Markup


@dataclass(frozen=True)
class Plate:
    """An annotated image in the page, with the colours of its labels."""

    label: str
    drawing: Markup
    width_px: int
    key: list[tuple[str, str]]


@dataclass(frozen=True)
class ExhibitFigure:
    """An exhibit in the page; what its kind does not have is empty.

    Attributes:
        exhibit: what it was made of.
        strips: label and images of each row.
        players: of sounds.
        plates: of annotated images.
        still: of an animation, its last frame.
        moving: of an animation, all of it.
    """

    exhibit: Exhibit
    strips: list[tuple[str, list[Placed]]] = field(default_factory=list)
    players: list[Player] = field(default_factory=list)
    plates: list[Plate] = field(default_factory=list)
    still: Placed | None = None
    moving: Placed | None = None

    @property
    def kind(self) -> str:
        return self.exhibit.kind


def exhibit_figure(exhibit: Exhibit) -> ExhibitFigure:
    """An exhibit made ready for the page."""
    match exhibit:
        case SoundPlayers(sounds=sounds):
            return ExhibitFigure(exhibit, players=[_player(sound) for sound in sounds])
        case ImageStrips(strips=strips):
            rows = [(strip.label, [_placed(image, CELL_PX) for image in strip.images]) for strip in strips]
            return ExhibitFigure(exhibit, strips=rows)
        case Animation():
            still, moving = _animation(exhibit)
            return ExhibitFigure(exhibit, still=still, moving=moving)
        case Gallery(images=images):
            labels = dict.fromkeys(one.label for image in images for one in (*image.masks, *image.boxes))
            colours = {label: COLOURS[number % len(COLOURS)] for number, label in enumerate(labels)}
            scale = _gallery_scale(images)
            return ExhibitFigure(exhibit, plates=[_plate(image, colours, scale) for image in images])
    return ExhibitFigure(exhibit)


def _gallery_scale(images: list[AnnotatedImage]) -> float:
    """Pixels of the page for one of an image: a whole number, or less where the largest has no room."""
    sizes = [image.pixels.shape[:2] for image in images]
    side = max((max(size) for size in sizes), default=1)
    area = max((height * width for height, width in sizes), default=1)
    return min(max(1, COMFORTABLE_PX // side), GALLERY_PX / math.sqrt(area))


def _placed(pixels: numpy.ndarray, comfortable_px: int) -> Placed:
    image = Image.fromarray(pixels)
    image.thumbnail((LARGEST_PX, LARGEST_PX))
    factor = max(1, comfortable_px // max(image.size))
    return Placed(_address(image), factor * image.width, factor > 1)


def _address(*frames: Image.Image, duration_ms: int = 0) -> str:
    buffer = io.BytesIO()
    first, *others = frames
    if others:
        first.save(buffer, format="PNG", save_all=True, append_images=others, duration=duration_ms, loop=0)
    else:
        first.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def _animation(exhibit: Animation) -> tuple[Placed, Placed]:
    still = _placed(exhibit.frames[-1], COMFORTABLE_PX)
    frames = [Image.fromarray(frame) for frame in exhibit.frames]
    for frame in frames:
        frame.thumbnail((LARGEST_PX, LARGEST_PX))
    address = _address(*frames, duration_ms=max(1, round(1000 / exhibit.frames_per_s)))
    return still, Placed(address, still.width_px, still.enlarged)


def _player(sound: Sound) -> Player:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as written:
        written.setnchannels(1)
        written.setsampwidth(2)
        written.setframerate(sound.sample_rate_hz)
        written.writeframes((sound.samples * FULL_SCALE).round().astype("<i2").tobytes())
    seconds = len(sound.samples) / sound.sample_rate_hz
    address = "data:audio/wav;base64," + base64.b64encode(buffer.getvalue()).decode()
    return Player(f"{sound.label}, {seconds:.2g} s", address, _outline(sound, seconds))


def _outline(sound: Sound, seconds: float) -> Markup:
    """The smallest and largest sample in each stretch of a sound."""
    parts = numpy.array_split(sound.samples, min(WAVE_WIDTH, len(sound.samples) or 1))
    middle = WAVE_HEIGHT / 2
    lines = "".join(
        f"M{x},{middle - middle * float(part.max()):.1f}V{middle - middle * float(part.min()) + 0.5:.1f}"
        for x, part in enumerate(parts)
        if len(part)
    )
    label = f"{sound.label}: samples over {seconds:.2g} s"
    return figure(WAVE_WIDTH, WAVE_HEIGHT, label, element("path", d=lines, class_="wave"))


def _plate(image: AnnotatedImage, colours: dict[str, str], factor: float) -> Plate:
    height, width = image.pixels.shape[:2]
    shown_width, shown_height = (max(1, round(side * factor)) for side in (width, height))
    base = Image.fromarray(image.pixels)
    base.thumbnail((shown_width, shown_height))
    whole = {"x": 0, "y": 0, "width": shown_width, "height": shown_height}
    crisp = "enlarged" if factor > 1 else None
    layers = [element("image", href=_address(base), class_=crisp, **whole)]
    if image.heat is not None:
        layers.append(element("image", href=_heat_address(image.heat), class_=crisp, **whole))
    for mask in image.masks:
        address = _mask_address(mask.pixels, colours[mask.label])
        layers.append(element("image", href=address, class_=crisp, **whole))
    for box in image.boxes:
        place = {"x": box.left * factor, "y": box.top * factor}
        place |= {"width": (box.right - box.left) * factor, "height": (box.bottom - box.top) * factor}
        layers.append(element("rect", class_="box-ground", **place))
        layers.append(element("rect", class_="box", stroke=colours[box.label], **place))
    for box in image.boxes:
        # Above its box, or inside where there is no room above.
        y = box.top * factor - 4 if box.top * factor > 16 else box.top * factor + 14
        said = box.label if box.score is None else f"{box.label} {box.score:.2f}".strip()
        layers.append(element("text", said, x=box.left * factor + 2, y=y, class_="box-name"))
    named = [one.label for one in (*image.masks, *image.boxes) if one.label]
    label = image.label + (f": {', '.join(named)}" if named else "")
    key = [(one, colours[one]) for one in dict.fromkeys(mask.label for mask in image.masks)]
    return Plate(image.label, figure(shown_width, shown_height, label, *layers), shown_width, key)


def _mask_address(mask: numpy.ndarray, colour: str) -> str:
    """A region in its colour, its edge solid."""
    inside = mask.copy()
    inside[1:] &= mask[:-1]
    inside[:-1] &= mask[1:]
    inside[:, 1:] &= mask[:, :-1]
    inside[:, :-1] &= mask[:, 1:]
    painted = numpy.zeros((*mask.shape, 4), numpy.uint8)
    painted[mask, :3] = [int(colour[place : place + 2], 16) for place in (1, 3, 5)]
    painted[..., 3] = numpy.where(mask, numpy.where(inside, round(255 * MASK_OPACITY), 255), 0)
    return _address(Image.fromarray(painted))


def _heat_address(heat: numpy.ndarray) -> str:
    """Heat in colour, the stronger the less can be seen through it."""
    places = numpy.linspace(0, 1, len(HEAT))
    colour = numpy.stack([numpy.interp(heat, places, HEAT[:, channel]) for channel in range(3)], axis=-1)
    painted = numpy.concatenate([colour, (heat * 0.8 * 255)[..., None]], axis=-1)
    return _address(Image.fromarray(painted.round().astype(numpy.uint8)))
