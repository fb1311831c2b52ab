"""Values in 0..1 as a grid of cells with the names of its rows and columns: gates over a text, attention."""

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

_SIDE_PX, _FONT_PX, _GAP_PX = 14, 11, 6
_ONE, _ZERO, _LINE = np.array([8, 48, 107]), np.array([255, 255, 255]), (235, 235, 235)
WIDTH_PX = 1200
"""That a grid of short names may have; see `columns_with_room`."""


def grid_image(values: np.ndarray, rows: Sequence[str], columns: Sequence[str]) -> np.ndarray:
    """An image of a grid: white is 0, dark 1.

    Args:
        values: [rows, columns].
        rows: their names, at the left.
        columns: their names, above; upright where one is wider than a cell.

    Returns:
        uint8, [height, width, 3].
    """
    font = _font()
    left = int(max((font.getlength(name) for name in rows), default=0)) + 2 * _GAP_PX
    widest = int(max((font.getlength(name) for name in columns), default=0))
    upright = widest > _SIDE_PX
    top = widest + 2 * _GAP_PX if upright else _SIDE_PX + 2
    image = Image.new("RGB", (left + _SIDE_PX * len(columns), top + _SIDE_PX * len(rows)), "white")
    canvas = ImageDraw.Draw(image)
    for place, name in enumerate(columns):
        middle = left + _SIDE_PX * place + _SIDE_PX // 2
        if upright:
            strip = Image.new("RGB", (widest + _GAP_PX, _SIDE_PX), "white")
            ImageDraw.Draw(strip).text((0, _SIDE_PX / 2), name, fill="black", font=font, anchor="lm")
            image.paste(strip.rotate(90, expand=True), (middle - _SIDE_PX // 2, _GAP_PX - 2))
        else:
            canvas.text((middle, top / 2), name, fill="black", font=font, anchor="mm")
    for row, name in enumerate(rows):
        above = top + _SIDE_PX * row
        canvas.text((left - _GAP_PX, above + _SIDE_PX / 2), name, fill="black", font=font, anchor="rm")
        for place in range(len(columns)):
            share = float(values[row, place])
            colour = (share * _ONE + (1 - share) * _ZERO).round().astype(int).tolist()
            begin = left + _SIDE_PX * place
            box = (begin, above, begin + _SIDE_PX - 1, above + _SIDE_PX - 1)
            canvas.rectangle(box, fill=tuple(colour), outline=_LINE)
    return np.asarray(image)


def columns_with_room(rows: Sequence[str]) -> int:
    """How many columns a grid with these rows has in `WIDTH_PX`, at least 1."""
    font = _font()
    left = int(max((font.getlength(name) for name in rows), default=0)) + 2 * _GAP_PX
    return max(1, (WIDTH_PX - left) // _SIDE_PX)


@functools.cache
def _font() -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which Matplotlib brings: Pillow's own font has no accents and no other alphabet."""
    import matplotlib

    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", _FONT_PX)
