"""Models of the Wavefront OBJ format, with the colours of their MTL materials: what a view of them takes.

Faces may have any number of corners and are cut into triangles from their first one. A texture counts with
its mean colour. Sixty lines read it; a mesh library would be a dependency more, and keep materials apart from
the faces that are wanted here with their colour.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import Image

_GREY = (0.7, 0.7, 0.7)
"""Of faces without a material."""


class Surface(NamedTuple):
    """Triangles in space.

    Attributes:
        triangles: the corners, float64 [triangles, 3, 3]; y is up.
        colours: red, green and blue in 0..1, float64 [triangles, 3].
    """

    triangles: np.ndarray
    colours: np.ndarray


def read_wavefront(name: str, read: Callable[[str], bytes]) -> Surface:
    """A model.

    Args:
        name: of its OBJ file.
        read: gives a file's content by its name; materials and textures lie beside the OBJ file.

    Raises:
        KeyError: `read` does not have the OBJ file or its materials.
        ValueError: a line says what is not possible, or there are no faces.
    """
    folder = PurePosixPath(name).parent
    corners: list[list[float]] = []
    faces: list[tuple[int, int, int]] = []
    colours: list[tuple[float, ...]] = []
    materials: dict[str, tuple[float, ...]] = {}
    colour: tuple[float, ...] = _GREY
    for key, rest in _lines(read(name)):
        if key == "v":
            corners.append([float(number) for number in rest.split()[:3]])
            if len(corners[-1]) < 3:
                raise ValueError(f"{name} has a corner of other than three numbers, {rest!r}")
        elif key == "f":  # of two corners it is a line, which has no surface
            # Counted from 1, or backwards from the last one so far; after a slash are textures and normals.
            numbers = [int(corner.partition("/")[0]) for corner in rest.split()]
            places = [number - 1 if number > 0 else len(corners) + number for number in numbers]
            if min(places, default=-1) < 0:
                raise ValueError(f"{name} has the face {rest!r}")
            faces += [(places[0], *pair) for pair in pairwise(places[1:])]
            colours += [colour] * (len(places) - 2)
        elif key == "mtllib":
            materials |= _read_materials(str(folder / rest), read)
        elif key == "usemtl":
            colour = materials.get(rest, _GREY)
    if not faces or max(map(max, faces)) >= len(corners):
        raise ValueError(f"{name} has no faces, or faces without corners")
    return Surface(np.array(corners)[np.array(faces)], np.array(colours))


def _read_materials(name: str, read: Callable[[str], bytes]) -> dict[str, tuple[float, ...]]:
    """The colour of each: of its texture if it has one that is there, of its diffuse reflection otherwise."""
    folder = PurePosixPath(name).parent
    found: dict[str, tuple[float, ...]] = {}
    material = ""
    for key, rest in _lines(read(name)):
        if key == "newmtl":
            material = rest
        elif key == "Kd" and material not in found:
            found[material] = tuple(float(number) for number in rest.split()[:3])
        elif key == "map_Kd":
            with suppress(KeyError), Image.open(io.BytesIO(read(str(folder / rest)))) as texture:
                mean = np.asarray(texture.convert("RGB"), np.float64).mean(axis=(0, 1))
                found[material] = tuple(mean / 255)
    return found


def _lines(content: bytes) -> Iterator[tuple[str, str]]:
    """Each line's first word and the rest; a line goes on after a backslash at its end."""
    for line in content.decode("utf-8", "replace").replace("\\\r\n", " ").replace("\\\n", " ").splitlines():
        key, _, rest = line.strip().partition(" ")
        yield key, rest.strip()
