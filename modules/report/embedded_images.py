"""Images that travel inside the page: samples as they are, filters as signed weights."""

import base64
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy

if TYPE_CHECKING:
    from PIL import Image

LARGEST_PX, LARGEST_SHOWN_PX, COMFORTABLE_PX = 160, 1600, 480
POSITIVE, NEGATIVE = (56, 122, 196), (214, 88, 42)


def thumbnail(file: bytes) -> str:
    """An image file as a `data:` address, at most `LARGEST_PX` wide and high, in PNG.

    Raises:
        ValueError: if the bytes are not an image.
    """
    image = _opened(file)
    image.thumbnail((LARGEST_PX, LARGEST_PX))
    return _data_address(image)


@dataclass(frozen=True)
class Shown:
    """An image in the page: its `data:` address, its width, and whether single pixels are to be seen."""

    address: str
    width_px: int
    enlarged: bool


def shown(file: bytes) -> Shown:
    """An image file as it is; a small one by a whole factor larger.

    Raises:
        ValueError: if the bytes are not an image.
    """
    image = _opened(file)
    image.thumbnail((LARGEST_SHOWN_PX, LARGEST_SHOWN_PX))
    factor = max(1, COMFORTABLE_PX // image.width)
    return Shown(_data_address(image), factor * image.width, factor > 1)


def _opened(file: bytes) -> "Image.Image":
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(file), formats=["PNG"]) as opened:
            return opened.convert("L" if opened.mode in ("1", "L", "LA") else "RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError("not a PNG image") from error


def filter_images(filters: numpy.ndarray, most: int = 64) -> list[str]:
    """The first filters as `data:` addresses, all on one scale.

    Three channels are plotted in colour, from the most negative weight (black) to the most positive.
    Otherwise the mean over channels is plotted: blue excites, rust inhibits, and no ink is no weight.
    """
    from PIL import Image

    shown = filters[:most].astype(numpy.float64)
    if shown.shape[1] == 3:
        largest = numpy.abs(shown).max() or 1.0
        grey = numpy.round((shown / largest + 1) * 127.5).astype(numpy.uint8)
        return [_data_address(Image.fromarray(image)) for image in grey.transpose(0, 2, 3, 1)]
    weights = shown.mean(axis=1)
    # A few extreme weights must not bleach all others.
    largest = numpy.quantile(numpy.abs(weights), 0.995) or 1.0
    strength = numpy.clip(numpy.abs(weights) / largest, 0, 1)
    inks = numpy.where((weights > 0)[..., None], POSITIVE, NEGATIVE)
    painted = numpy.concatenate([inks, numpy.round(strength * 255)[..., None]], axis=-1)
    return [_data_address(Image.fromarray(image)) for image in painted.astype(numpy.uint8)]


def drawing_address(drawing: str) -> str:
    """A drawing in SVG as a `data:` address: shown as an image, nothing in it can run or load anything."""
    return "data:image/svg+xml;base64," + base64.b64encode(drawing.encode()).decode()


def _data_address(image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
