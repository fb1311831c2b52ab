"""Number plates as a camera meets them: set in road fonts, tilted, lit from somewhere, dirty, blurred, noisy.

Plates are made when they are asked for. A layout such as `LL-DDDD` says where letters (L) and digits (D)
stand; what stands between them is set on the plate and is no part of its text. Each split has layouts of its
own, so that a net that knows layouts by heart is found out. Domain randomisation: Tobin et al. (2017), arXiv
1703.06907.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from modules.configuration.errors import UserError
from modules.configuration.schema.data_settings import FieldSettings
from modules.datamodules.formats.line_images import line_size
from modules.datamodules.samples import Samples, raw_path
from modules.datamodules.seeded import generator_of

LETTERS, DIGITS = "ABCDEFGHJKLMNPRSTUVWXYZ", "0123456789"
"""Without I, O and Q, which plates leave out since they look like 1 and 0."""
_FONT_PX = 48
"""Plates are set this high, then seen smaller."""
_MARGIN, _SPACING = (0.15, 0.5), (0.0, 0.18)
"""Around the text and between its signs, in heights of a sign."""
_MAX_TILT_DEGREES, _MAX_SHEAR = 7.0, 0.18
_SHARE_OF_WIDTH, _SHARE_OF_HEIGHT = (0.8, 0.98), 0.96
"""Of the image, that a plate has of its width, and of its height at most."""
_GAIN = (0.65, 1.0)
_INK, _GROUND = (0.0, 0.35), (0.6, 1.0)
_MAX_SHADE, _MAX_BLUR_PX, _MAX_NOISE = 0.3, 0.9, 0.045
_MAX_STAINS = 4


class NumberPlatesReader:
    """Plates of every layout of a split, as often of each.

    Args:
        fonts: files of the fonts beneath the source.
        layouts: of each split.
        num_plates: of each split.
        seed: of all chance; a plate depends on it, its split and its number alone.

    Raises:
        UserError: there is no font or layout, a layout is in two splits or has no sign, or splits differ.
    """

    def __init__(
        self,
        fonts: Sequence[str],
        layouts: Mapping[str, Sequence[str]],
        num_plates: Mapping[str, int],
        seed: int = 0,
    ) -> None:
        everything = [layout for some in layouts.values() for layout in some]
        if not fonts or set(layouts) != set(num_plates) or not all(layouts.values()):
            raise UserError(
                f"reader has {len(fonts)} fonts, layouts of {sorted(layouts)},"
                f" numbers of {sorted(num_plates)}",
                "Name a font or more, and for each split its layouts and a number of plates",
            )
        if twice := next((one for one in everything if everything.count(one) > 1), None):
            raise UserError(f"reader.layouts has {twice!r} twice", "A layout lies in one split")
        if empty := next((one for one in everything if not set(one) & set("LD")), None):
            raise UserError(f"reader.layouts has {empty!r}", "L is a letter, D a digit: write one or more")
        self.fonts, self.layouts, self.num_plates, self.seed = fonts, layouts, num_plates, seed

    def samples(self, raw: Path, fields: dict[str, FieldSettings]) -> dict[str, Samples]:
        """The splits with `image`, grey, and `text`; a plate's key is its number.

        Raises:
            UserError: the fields are others, or a font cannot be read.
        """
        size_px = line_size(fields)
        try:
            fonts = [ImageFont.truetype(raw_path(raw, file), _FONT_PX) for file in self.fonts]
        except OSError as error:
            raise UserError(
                f"a font of {', '.join(self.fonts)} cannot be read ({error})", "Fetch it again"
            ) from error
        return {
            split: _Plates(fonts, layouts, self.num_plates[split], size_px, f"{self.seed}/{split}")
            for split, layouts in self.layouts.items()
        }


class _Plates:
    """Plates made when they are asked for."""

    def __init__(
        self,
        fonts: list[ImageFont.FreeTypeFont],
        layouts: Sequence[str],
        num_plates: int,
        size_px: tuple[int, int],
        stream: str,
    ) -> None:
        self.keys = self.places = [str(number) for number in range(num_plates)]
        self.notes: list[str] = []
        self._fonts, self._layouts, self._size_px, self._stream = fonts, layouts, size_px, stream

    def read(self, numbers: np.ndarray) -> dict[str, list]:
        plates = [self._plate(int(number)) for number in numbers]
        return {"image": [image for image, _ in plates], "text": [text for _, text in plates]}

    def _plate(self, number: int) -> tuple[np.ndarray, str]:
        rng = generator_of(self._stream, number)
        layout = self._layouts[number % len(self._layouts)]
        signs = [
            str(rng.choice(list(LETTERS if sign == "L" else DIGITS))) if sign in "LD" else sign
            for sign in layout
        ]
        font = self._fonts[rng.integers(len(self._fonts))]
        levels = _seen(_set(signs, font, rng), self._size_px, rng)
        text = "".join(sign for sign, place in zip(signs, layout, strict=True) if place in "LD")
        return np.clip(np.rint(255 * levels), 0, 255).astype(np.uint8)[None], text


def _set(signs: Sequence[str], font: ImageFont.FreeTypeFont, rng: np.random.Generator) -> Image.Image:
    """The plate from the front: grey, with a border, on a transparent ground."""
    gap = rng.uniform(*_SPACING) * _FONT_PX
    margin = rng.uniform(*_MARGIN, 2) * _FONT_PX
    widths = [font.getlength(sign) for sign in signs]
    width = int(sum(widths) + gap * (len(signs) - 1) + 2 * margin[0])
    height = int(_FONT_PX * 0.8 + 2 * margin[1])
    ink, ground = rng.uniform(*_INK), rng.uniform(*_GROUND)
    if rng.random() < 0.25:
        ink, ground = ground, ink
    plate = Image.new("LA", (width, height), (int(255 * ground), 255))
    canvas = ImageDraw.Draw(plate)
    if rng.random() < 0.6:
        canvas.rectangle((2, 2, width - 3, height - 3), outline=(int(255 * ink), 255), width=2)
    left = margin[0]
    for sign, wide in zip(signs, widths, strict=True):
        canvas.text((left, height / 2), sign, fill=(int(255 * ink), 255), font=font, anchor="lm")
        left += wide + gap
    return plate


def _seen(plate: Image.Image, size_px: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """The plate in an image, levels about 0..1, [height, width]."""
    height, width = size_px
    turn = np.radians(rng.uniform(-_MAX_TILT_DEGREES, _MAX_TILT_DEGREES))
    shear = rng.uniform(-_MAX_SHEAR, _MAX_SHEAR)
    linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ [[1, shear], [0, 1]]
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * [plate.width / 2, plate.height / 2]
    reach = np.abs(corners @ linear.T).max(axis=0) * 2
    scale = min(rng.uniform(*_SHARE_OF_WIDTH) * width / reach[0], _SHARE_OF_HEIGHT * height / reach[1])
    room = (np.array([width, height]) - scale * reach) / 2
    centre = np.array([width, height]) / 2 + rng.uniform(-1, 1, 2) * room
    back = np.linalg.inv(scale * linear)
    shift = np.array([plate.width, plate.height]) / 2 - back @ centre
    numbers = [back[0, 0], back[0, 1], shift[0], back[1, 0], back[1, 1], shift[1]]
    # Bilinear sampling of what is larger skips pixels: it is blurred by as much as it shrinks first.
    smooth = plate.filter(ImageFilter.GaussianBlur(max(0.0, 0.45 / float(scale) - 0.3)))
    placed = smooth.transform((width, height), Image.Transform.AFFINE, numbers, Image.Resampling.BILINEAR)
    behind = Image.fromarray((255 * rng.uniform(0.0, 1.0, (3, 9))).astype(np.uint8))
    scene = behind.resize((width, height), Image.Resampling.BICUBIC)
    scene.paste(placed.getchannel(0), mask=placed.getchannel(1))
    stains = ImageDraw.Draw(scene)
    for _ in range(rng.integers(0, _MAX_STAINS + 1)):
        left, top = rng.uniform(0, width), rng.uniform(0, height)
        across = rng.uniform(1, 5, 2)
        stains.ellipse((left, top, left + across[0], top + across[1]), fill=int(rng.uniform(0, 255)))
    scene = scene.filter(ImageFilter.GaussianBlur(rng.uniform(0, _MAX_BLUR_PX)))
    levels = np.asarray(scene, np.float64) / 255
    shade = np.linspace(-1, 1, width) * rng.uniform(-_MAX_SHADE, _MAX_SHADE)
    levels = levels * (1 + shade) * rng.uniform(*_GAIN) + rng.uniform(0, 0.2)
    return levels + rng.normal(0, rng.uniform(0, _MAX_NOISE), levels.shape)
