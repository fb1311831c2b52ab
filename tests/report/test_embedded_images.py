"""Images inside the page."""

import base64
import io
import re

import numpy
import pytest
from PIL import Image

from modules.report.embedded_images import LARGEST_PX, drawing_address, filter_images, thumbnail


def decoded(address: str) -> Image.Image:
    kind, _, data = address.partition(",")
    assert kind == "data:image/png;base64"
    return Image.open(io.BytesIO(base64.b64decode(data)))


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind)
    return buffer.getvalue()


def test_small_image_stays_as_it_is() -> None:
    grey = numpy.arange(784, dtype=numpy.uint8).reshape(28, 28)
    assert numpy.array_equal(numpy.asarray(decoded(thumbnail(encoded(Image.fromarray(grey))))), grey)


def test_large_image_shrinks() -> None:
    assert decoded(thumbnail(encoded(Image.new("RGB", (400, 800))))).size == (LARGEST_PX // 2, LARGEST_PX)


@pytest.mark.parametrize("content", [b"", b"<svg onload=alert(1)>", encoded(Image.new("L", (9, 9)), "GIF")])
def test_what_is_no_png(content: bytes) -> None:
    with pytest.raises(ValueError, match="not a PNG"):
        thumbnail(content)


def test_truncated_image() -> None:
    with pytest.raises(ValueError, match="not a PNG"):
        thumbnail(encoded(Image.effect_noise((90, 90), 50))[:2000])


def test_sign_is_colour_and_size_is_ink() -> None:
    filters = numpy.zeros((2, 1, 2, 2))
    filters[0, 0, 0] = [1.0, -1.0]
    filters[1, 0, 0] = [0.5, 0.0]
    first, second = (numpy.asarray(decoded(image)) for image in filter_images(filters))
    assert first.shape == (2, 2, 4)
    blue, rust = first[0, 0], first[0, 1]
    assert blue[2] > blue[0] and rust[0] > rust[2] and blue[3] == rust[3] == 255
    assert second[0, 0, 3] == 128, "one scale for all filters"
    assert second[0, 1, 3] == 0, "no weight, no ink"


def test_three_channels_are_colours() -> None:
    filters = numpy.zeros((1, 3, 1, 1))
    filters[0, :, 0, 0] = [1.0, -1.0, 0.0]
    assert decoded(filter_images(filters)[0]).getpixel((0, 0)) == (255, 0, 128)


def test_all_zero_filters() -> None:
    assert not numpy.asarray(decoded(filter_images(numpy.zeros((1, 1, 3, 3)))[0]))[..., 3].any()


def test_drawing_is_sealed() -> None:
    assert re.fullmatch(
        r"data:image/svg\+xml;base64,[\w+/=]+", drawing_address("<svg><script>alert(1)</script></svg>")
    )
