"""What a user gives `predict` - files, folders, texts, standard input - as samples of a model's inputs."""

import csv
import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy
from PIL import Image, ImageSequence

from modules.configuration.errors import UserError
from modules.configuration.regular_file import open_regular, read_regular, read_regular_text
from modules.datamodules.image_file import UNREADABLE, eight_bits, read_image, read_whole_image, reason_of
from modules.registry.answering import UNKNOWN, sound_sample, text_sample
from modules.tasks.served import InputKind, ServedInput

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
SOUNDS = (".wav", ".flac", ".ogg")
CLIPS = (".gif", ".webp", ".png", ".apng")
VIDEOS = (".mp4", ".avi", ".mov", ".mkv", ".webm")
SUFFIXES: dict[InputKind, tuple[str, ...]] = {
    "image": IMAGES,
    "sound": SOUNDS,
    "text": (".txt",),
    "clip": CLIPS,
    "vector": (".json", ".npy", ".csv"),
}
NAMES: dict[InputKind, str] = {
    "image": "images",
    "sound": "sounds",
    "text": "texts",
    "clip": "clips",
    "vector": "numbers",
}


@dataclass(frozen=True)
class Sample:
    """One sample of an input.

    Attributes:
        label: what the user calls it: a path, or the text itself.
        values: as the program takes it, without the batch's axis.
        request: as MLflow's server takes it, if that is not `values`: a text, or a file's bytes.
        note: what a user should know of it.
    """

    label: str
    values: numpy.ndarray
    request: str | bytes | None = None
    note: str = ""


def samples_of(one: ServedInput, given: str) -> list[Sample]:
    """All samples that an argument stands for.

    Args:
        one: what the model takes.
        given: a file, a folder of files, `-` for standard input, or, where texts or numbers are taken, these.

    Raises:
        UserError: there is nothing of that name, it is of another kind than the model takes, or it is empty.
    """
    path = Path(given)
    if one.kind == "text" and not _is_file_of_any_kind(path):
        text = sys.stdin.read() if given == "-" else given
        return [_text(one, text, "-" if given == "-" else given)]
    if one.kind == "vector" and not path.exists():
        if given.lstrip().startswith("["):
            return [_vector(one, given, given)]
        if "," in given:
            return _table_rows(one, given, "")
    if one.kind == "clip" and path.is_dir():
        return [_clip_of_frames(one, path)]
    found: list[Sample] = []
    for file in _files(one.kind, path):
        if one.kind == "vector" and file.suffix.lower() == ".csv":
            found += _table_rows(one, _bytes(file).decode("utf-8", "replace"), str(file))
        else:
            found.append(_READERS[one.kind](one, file))
    return found


def _is_file_of_any_kind(path: Path) -> bool:
    known = (*(suffix for some in SUFFIXES.values() for suffix in some), *VIDEOS)
    try:
        return path.exists() or (path.suffix.lower() in known and " " not in path.name)
    except OSError:  # a text longer than a name can be
        return False


def _files(kind: InputKind, path: Path) -> list[Path]:
    """The file itself, or the files of a folder by name."""
    wanted = SUFFIXES[kind]
    if not path.exists():
        hint = (
            f"Give {'text, ' if kind == 'text' else ''}a file ({' '.join(wanted)}) or a folder of such files"
        )
        raise UserError(f"{path} does not exist", hint)
    if path.is_dir():
        found = sorted(file for file in path.iterdir() if file.suffix.lower() in wanted and file.is_file())
        if not found:
            single = NAMES[kind].removesuffix("s")
            raise UserError(f"the folder {path} holds no {single}", f"Known suffixes: {' '.join(wanted)}")
        return found
    suffix = path.suffix.lower()
    if suffix in VIDEOS:
        hint = "Save its frames as an animated GIF or WebP, or as a folder of images"
        raise UserError(f"{path} is a video, which is not decoded here", hint)
    if suffix not in wanted:
        other = next((NAMES[other] for other, some in SUFFIXES.items() if suffix in some), None)
        if other is not None:
            raise UserError(f"{path} holds {other}, and the model takes {NAMES[kind]}", "Give another file")
    return [path]


def _text_file(one: ServedInput, file: Path) -> Sample:
    try:
        text = read_regular_text(file, links=True)
    except (OSError, ValueError) as error:
        raise UserError(f"{file} is no text in UTF-8", "Save it as UTF-8") from error
    return _text(one, text, str(file))


def _text(one: ServedInput, text: str, label: str) -> Sample:
    text = text.removesuffix("\n")
    try:
        values = text_sample(vars(one), text)
    except ValueError as error:
        raise UserError(f"{label!r}: {error}", "Give a text of at least one sign") from error
    num_unknown, num_tokens = int((values == UNKNOWN).sum()), len(values) - 1 - one.ends
    known = f"{label!r}: {num_unknown} of {num_tokens} tokens are not in the model's vocabulary"
    return Sample(label, values, text, known if num_unknown else "")


def _sound_file(one: ServedInput, file: Path) -> Sample:
    content = _bytes(file)
    try:
        values = sound_sample(vars(one), content)
    except ValueError as error:
        hint = f"Give a wav, flac or ogg file, mono, {one.sample_rate_hz} samples/s"
        raise UserError(f"{file}: {error}", hint) from error
    import soundfile

    rate = soundfile.info(io.BytesIO(content)).samplerate
    said = f"{file} is resampled from {rate} to {one.sample_rate_hz} samples/s"
    return Sample(str(file), values, content, said if rate != one.sample_rate_hz else "")


def _bytes(file: Path) -> bytes:
    try:
        return read_regular(file, links=True)
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}") from error


def _image_file(one: ServedInput, file: Path) -> Sample:
    channels, height, width = one.shape
    assert isinstance(channels, int)
    if isinstance(height, int) and isinstance(width, int):
        pixels = read_image(file, channels, height, width)
    else:
        pixels = read_whole_image(file, channels)
    return Sample(str(file), pixels.astype(numpy.float32) / 255)


def _clip_file(one: ServedInput, file: Path) -> Sample:
    try:
        with open_regular(file, links=True) as content, Image.open(content) as opened:
            frames = [_frame(one, frame) for frame in ImageSequence.Iterator(opened)]
    except UNREADABLE as error:
        raise UserError(
            f"{file} is no animated image that can be read ({reason_of(error)})", "Give a GIF, WebP or PNG"
        ) from error
    return _clip(one, frames, file)


def _clip_of_frames(one: ServedInput, folder: Path) -> Sample:
    files = sorted(file for file in folder.iterdir() if file.suffix.lower() in IMAGES and file.is_file())
    _, channels, height, width = one.shape
    assert isinstance(channels, int)
    if isinstance(height, int) and isinstance(width, int):
        return _clip(one, [read_image(file, channels, height, width) for file in files], folder)
    return _clip(one, [read_whole_image(file, channels) for file in files], folder)


def _frame(one: ServedInput, frame: Image.Image) -> numpy.ndarray:
    _, channels, height, width = one.shape
    assert isinstance(channels, int)
    image = eight_bits(frame, channels)
    if isinstance(height, int) and isinstance(width, int):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    pixels = numpy.asarray(image)
    return pixels.reshape(*pixels.shape[:2], channels).transpose(2, 0, 1)


def _clip(one: ServedInput, frames: list[numpy.ndarray], path: Path) -> Sample:
    wanted = one.shape[0]
    if not frames:
        raise UserError(f"the clip {path} holds no frame", f"Known suffixes of frames: {' '.join(IMAGES)}")
    if isinstance(wanted, int) and len(frames) != wanted:
        raise UserError(f"the clip {path} has {len(frames)} frames, and the model takes {wanted}")
    if len({frame.shape for frame in frames}) > 1:
        raise UserError(f"the frames of {path} differ in size", "Save all of one size")
    return Sample(str(path), numpy.stack(frames).astype(numpy.float32) / 255)


def _vector_file(one: ServedInput, file: Path) -> Sample:
    if file.suffix.lower() != ".npy":
        return _vector(one, _bytes(file).decode("utf-8", "replace"), str(file))
    try:
        with open_regular(file, links=True) as content:
            values = numpy.load(content, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UserError(f"{file} is no array of numbers", "Save it by numpy.save") from error
    return _numbers(one, values, str(file))


def _vector(one: ServedInput, text: str, label: str) -> Sample:
    try:
        return _numbers(one, numpy.array(json.loads(text)), label)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{label[:80]!r} is no list of numbers", "Write [0.1, 0.2]") from error


def _table_rows(one: ServedInput, text: str, file: str) -> list[Sample]:
    """The rows of a CSV file, or one that was typed; a first line without any number is a header."""
    rows = [(number, row) for number, row in enumerate(csv.reader(text.splitlines()), 1) if row]
    if rows and not any(_is_number(cell) for cell in rows[0][1]):
        rows = rows[1:]
    if not rows:
        raise UserError(f"{file or text!r} holds no row of numbers", "Give one row a sample: 0.1,0.2")
    found = []
    for number, row in rows:
        label = f"{file}:{number}" if file else text
        if wrong := [cell for cell in row if not _is_number(cell)]:
            hint = "Leave out what the model does not take, such as a column of classes"
            raise UserError(f"{label[:80]}: {wrong[0]!r} is no number", hint)
        found.append(_numbers(one, numpy.array([float(cell) for cell in row]), label))
    return found


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _numbers(one: ServedInput, values: numpy.ndarray, label: str) -> Sample:
    fits = len(values.shape) == len(one.shape) and all(
        isinstance(size, str) or size == given for size, given in zip(one.shape, values.shape, strict=True)
    )
    if not fits or values.dtype.kind not in "fiub":
        raise UserError(
            f"{label[:80]} is of shape {list(values.shape)}, and the model takes {list(one.shape)}",
            "Give numbers of that shape",
        )
    return Sample(label, values.astype(numpy.float32))


_READERS: dict[InputKind, Callable[[ServedInput, Path], Sample]] = {
    "image": _image_file,
    "sound": _sound_file,
    "text": _text_file,
    "clip": _clip_file,
    "vector": _vector_file,
}
