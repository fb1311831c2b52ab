"""What a model gives as images: written as PNG files, with boxes and masks laid over an input that is one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy
from PIL import Image, ImageDraw

from modules.configuration.errors import UserError

_COLOURS = ((255, 176, 0), (77, 163, 255), (255, 95, 162), (72, 213, 151), (196, 155, 255), (255, 129, 85))
_MASK_OPACITY = 0.5
_SHOWN_PX = 320


def write_images(
    results: Sequence[dict[str, Any]], inputs: Sequence[Sequence[numpy.ndarray]], folder: Path
) -> None:
    """Writes the images of answers; where one was written, the answer names it as `file`.

    Args:
        results: the answers; `mask` and `image`, which are many numbers, give way to the file.
        inputs: the samples that they are of, as the program took them.
        folder: made if it is not there.

    Raises:
        UserError: the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, (result, samples) in enumerate(zip(results, inputs, strict=True)):
            stem = f"{number:03d}-{Path(result['input']).stem[:40]}"
            # Of several outputs each has an answer of its own.
            parts = {name: part for name, part in result.items() if isinstance(part, dict)}
            for name, answer in {"": result, **parts}.items():
                image = _image(answer, samples[0])
                if image is not None:
                    file = folder / (f"{stem}-{name}.png" if name else f"{stem}.png")
                    image.save(file)
                    answer["file"] = str(file)
                    answer.pop("mask", None)
                    answer.pop("image", None)
    except OSError as error:
        raise UserError(f"out={folder} cannot be written: {error.strerror}", "Give another folder") from error


def _image(result: dict[str, Any], sample: numpy.ndarray) -> Image.Image | None:
    result = {name: part for name, part in result.items() if isinstance(part, list)}  # not another output's
    if "image" in result:
        return _pillow_image(numpy.array(result["image"], numpy.uint8))
    if sample.ndim != 3:  # of numbers: a mask lies on black
        return _laid_over_black(numpy.array(result["mask"])) if "mask" in result else None
    if "boxes" not in result and "mask" not in result:
        return None
    image = _pillow_image((sample * 255).round().astype(numpy.uint8)).convert("RGB")
    if "mask" in result:
        image = _laid_over(image, numpy.array(result["mask"]))
    return _with_boxes(image, result["boxes"]) if "boxes" in result else image


def _pillow_image(pixels: numpy.ndarray) -> Image.Image:
    """Of uint8 [channels, height, width]."""
    return Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0))


def _laid_over(image: Image.Image, mask: numpy.ndarray) -> Image.Image:
    """Every class but the first, which is the ground, in its colour."""
    colours = _colours(mask)
    pixels = numpy.asarray(image).astype(float)
    share = numpy.where(mask == 0, 0.0, _MASK_OPACITY)[..., None]
    return Image.fromarray((pixels * (1 - share) + colours * share).round().astype(numpy.uint8))


def _laid_over_black(mask: numpy.ndarray) -> Image.Image:
    return Image.fromarray(_colours(mask).astype(numpy.uint8))


def _colours(mask: numpy.ndarray) -> numpy.ndarray:
    """[height, width, 3]; the first class is black."""
    return numpy.array([(0, 0, 0), *_COLOURS])[numpy.where(mask == 0, 0, (mask - 1) % len(_COLOURS) + 1)]


def _with_boxes(image: Image.Image, boxes: Sequence[dict[str, Any]]) -> Image.Image:
    """A small image is enlarged by a whole factor, so that names can be read."""
    factor = max(1, _SHOWN_PX // max(image.size))
    width, height = image.width * factor, image.height * factor
    image = image.resize((width, height), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(image)
    names = list(dict.fromkeys(box["class"] for box in boxes))
    for box in boxes:
        colour = _COLOURS[names.index(box["class"]) % len(_COLOURS)]
        left, right = sorted((box["left"] * width, box["right"] * width))
        top, bottom = sorted((box["top"] * height, box["bottom"] * height))
        draw.rectangle((left, top, right, bottom), outline=colour, width=2)
        place = (left + 3, top - 12 if top > 12 else top + 2)
        draw.text(
            place, f"{box['class']} {box['score']:.2f}", fill=colour, stroke_width=1, stroke_fill="black"
        )
    return image
