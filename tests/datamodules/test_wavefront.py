"""OBJ files give triangles in their material's colour."""

import io

import numpy as np
import pytest
from PIL import Image

from modules.datamodules.wavefront import read_wavefront

OBJ = """# a square, a triangle counted from the end, and a line
mtllib paints and more.mtl
o square
v 0 0 0
v 1 0 0 0.5 0.5 0.5
v 1 1 0
v 0 1 \\
  0
usemtl red
f 1/1/1 2/2/1 3//1 4
f 1 2
v 0 0 5
usemtl cloth
f -1 -2 1
usemtl nowhere
f 1 2 3
"""
MTL = """newmtl red
Kd 1 0 0.5
newmtl cloth
map_Kd cloth.png
Kd 0 0 0
newmtl red velvet
Kd 0.25 0 0
map_Kd lost.png
"""


def files(**others: bytes) -> dict[str, bytes]:
    pixels = np.zeros((2, 2, 3), np.uint8)
    pixels[0] = (255, 51, 0)
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    found = {"a/x.obj": OBJ.encode(), "a/paints and more.mtl": MTL.encode(), "a/cloth.png": png.getvalue()}
    return found | others


def test_faces_become_triangles_with_colours() -> None:
    surface = read_wavefront("a/x.obj", files().__getitem__)
    assert surface.triangles.tolist() == [
        [[0, 0, 0], [1, 0, 0], [1, 1, 0]],
        [[0, 0, 0], [1, 1, 0], [0, 1, 0]],
        [[0, 0, 5], [0, 1, 0], [0, 0, 0]],
        [[0, 0, 0], [1, 0, 0], [1, 1, 0]],
    ]
    assert surface.colours.tolist() == [[1, 0, 0.5], [1, 0, 0.5], [0.5, 0.1, 0], [0.7, 0.7, 0.7]]


def test_a_texture_that_is_missing_leaves_the_diffuse_colour() -> None:
    changed = OBJ.replace("usemtl red", "usemtl red velvet").encode()
    surface = read_wavefront("a/x.obj", (files() | {"a/x.obj": changed}).__getitem__)
    assert surface.colours[0].tolist() == [0.25, 0, 0]


@pytest.mark.parametrize("line", ["f 1 2 9", "f 0 1 2", "f -9 1 2", "f 1 2 x", "v 0 0 x"])
def test_a_line_that_cannot_be_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r"the face|without corners|could not convert|invalid literal"):
        read_wavefront("a/x.obj", (files() | {"a/x.obj": f"{OBJ}{line}\n".encode()}).__getitem__)


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(ValueError, match="has no faces"):
        read_wavefront("x.obj", {"x.obj": b"v 0 0 0\n"}.__getitem__)
    with pytest.raises(ValueError, match="a corner of other than three numbers"):
        read_wavefront("x.obj", {"x.obj": b"v 0 0\nv 1 1 1\nv 1 0 0\nf 1 2 3\n"}.__getitem__)
    with pytest.raises(KeyError):
        read_wavefront("a/y.obj", files().__getitem__)
