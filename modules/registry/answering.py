"""From what a user gives to what a model says, by an exported program: for `predict` and MLflow's server.

A copy of this file lies in every registered model, whose server does not know this repository: it imports
torch, numpy and the standard library, soundfile where a model hears, tokenizers where it reads subwords. A
description is the plain mapping that lies in the program's file, see `modules.registry.export`.
"""

import base64
import functools
import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy
import torch
from torch import Tensor

PADDING, UNKNOWN, BEGIN, END = range(4)
_NUM_SPECIAL = 4
_WORD = re.compile(r"\w+(?:['’]\w+)*|[^\w\s]")
_NO_SPACE_BEFORE, _NO_SPACE_AFTER = frozenset(".,;:!?)]}%"), frozenset("([{")
DTYPES = {"text": numpy.int64}

Plain = Mapping[str, Any]


def encode(vocabulary: Plain, text: str) -> list[int]:
    """The numbers of a text's tokens; what is not in the vocabulary is unknown."""
    text = text.lower() if vocabulary["lower_case"] else text
    if vocabulary["kind"] == "subwords":
        return _subwords(vocabulary).encode(text, add_special_tokens=False).ids
    numbers = {token: n for n, token in enumerate(vocabulary["tokens"]) if n >= _NUM_SPECIAL}
    parts = text if vocabulary["kind"] == "characters" else _WORD.findall(text)
    return [numbers.get(token, UNKNOWN) for token in parts]


def decode(vocabulary: Plain, numbers: Sequence[int]) -> str:
    """The text of tokens up to the first end; padding and begin are left out, unknown is written as �."""
    kept = list(numbers[: numbers.index(END)] if END in numbers else numbers)
    kept = [number for number in kept if number not in (PADDING, BEGIN)]
    if vocabulary["kind"] == "subwords":
        parts: list[list[int]] = [[]]
        for number in kept:
            parts.append([]) if number == UNKNOWN else parts[-1].append(number)
        return "�".join(_subwords(vocabulary).decode(part) for part in parts)
    tokens = ["�" if number == UNKNOWN else vocabulary["tokens"][number] for number in kept]
    if vocabulary["kind"] == "characters":
        return "".join(tokens)
    text = ""
    for word in tokens:
        glued = not text or word in _NO_SPACE_BEFORE or text[-1] in _NO_SPACE_AFTER
        text += word if glued else f" {word}"
    return text


def _subwords(vocabulary: Plain) -> Any:
    return _tokenizer(json.dumps(vocabulary, sort_keys=True))


@functools.lru_cache(maxsize=4)
def _tokenizer(vocabulary: str) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    plain = json.loads(vocabulary)
    numbers = {token: number for number, token in enumerate(plain["tokens"])}
    made = Tokenizer(models.BPE(vocab=numbers, merges=[(left, right) for left, right in plain["merges"]]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return made


def text_sample(one: Plain, text: str) -> numpy.ndarray:
    """A text as int64 tokens between begin and end.

    Raises:
        ValueError: it holds nothing.
    """
    numbers = encode(one["vocabulary"], text)
    if not numbers:
        raise ValueError("the text is empty")
    return numpy.array([BEGIN, *numbers, *([END] if one["ends"] else [])], numpy.int64)


def sound_sample(one: Plain, content: bytes) -> numpy.ndarray:
    """The samples of a file (wav, flac, ogg) as float32 [time], at the rate that the model takes.

    Raises:
        ValueError: it is no sound, has several channels or nothing to be heard.
    """
    import soundfile

    try:
        samples, rate = soundfile.read(io.BytesIO(content), dtype="float32", always_2d=True)
    except (soundfile.SoundFileError, RuntimeError, TypeError) as error:
        raise ValueError("this is no sound file that can be read") from error
    if samples.shape[1] != 1:
        raise ValueError(f"the sound has {samples.shape[1]} channels, and the model takes one")
    if not samples.any():
        raise ValueError("the sound is silent" if len(samples) else "the sound holds no sample")
    return resampled(samples[:, 0], rate, one["sample_rate_hz"])


def resampled(samples: numpy.ndarray, rate_hz: int, wanted_hz: int) -> numpy.ndarray:
    """A sound [time] at another rate; frequencies above half of it are left out, by the Fourier transform."""
    size = max(1, round(len(samples) * wanted_hz / rate_hz))
    if rate_hz == wanted_hz:
        return samples
    found = numpy.fft.irfft(numpy.fft.rfft(samples), size) * (size / len(samples))
    return found.astype(samples.dtype)


def batch(one: Plain, samples: Sequence[numpy.ndarray]) -> list[Tensor]:
    """Samples of an input, padded with zeros, and their lengths where its shape holds a symbol.

    Raises:
        ValueError: a sample has another shape than the model takes.
    """
    shape = one["shape"]
    sizes = list(shape)
    for axis, size in enumerate(shape):
        for sample in samples:
            if sample.ndim != len(shape):
                raise ValueError(f"{one['name']} is {list(sample.shape)}, and the model takes {list(shape)}")
            padded = one["kind"] in ("text", "sound") and sample.shape[axis] < (
                size if isinstance(size, int) else 0
            )
            if isinstance(size, int) and sample.shape[axis] != size and not padded:
                raise ValueError(f"{one['name']} is {list(sample.shape)}, and the model takes {list(shape)}")
        if isinstance(size, str):
            sizes[axis] = max(sample.shape[axis] for sample in samples)
    whole = numpy.zeros((len(samples), *sizes), DTYPES.get(one["kind"], numpy.float32))
    for place, sample in enumerate(samples):
        whole[(place, *(slice(size) for size in sample.shape))] = sample
    found = [torch.from_numpy(whole)]
    symbols = [axis for axis, size in enumerate(shape) if isinstance(size, str)]
    if symbols:
        given = torch.tensor([[sample.shape[axis] for axis in symbols] for sample in samples])
        found.append(given[:, 0] if len(symbols) == 1 else given)
    return found


def run(program: Any, arguments: Sequence[Tensor]) -> list[Tensor]:
    """The outputs of a program, in order."""
    with torch.no_grad():
        found = program(*arguments)
    return [found] if isinstance(found, Tensor) else list(found)


def check_outputs(description: Plain, outputs: Sequence[Any], num_samples: int) -> None:
    """Refuses outputs that are not what the description says.

    Args:
        description: of the program.
        outputs: from `run`, [samples, ...] each.
        num_samples: how many there must be.

    Raises:
        ValueError: naming the output and what is wrong with it.
    """
    if len(outputs) != len(description["outputs"]):
        raise ValueError(f"it gives {len(outputs)} outputs, and says {len(description['outputs'])}")
    for one, output in zip(description["outputs"], outputs, strict=True):
        if not isinstance(output, Tensor) or output.layout is not torch.strided or output.is_complex():
            raise ValueError(f"its output {one['name']} is no tensor of real numbers")
        expected, found = [num_samples, *one["shape"]], list(output.shape)
        if len(expected) != len(found) or any(
            isinstance(size, int) and size != got for size, got in zip(expected, found, strict=True)
        ):
            raise ValueError(f"its output {one['name']} is {found}, and it says {expected}")
        if not torch.isfinite(output).all():
            raise ValueError(f"its output {one['name']} holds NaN or infinity")


def say(
    description: Plain,
    arguments: Sequence[Tensor],
    outputs: Sequence[Tensor],
    texts: Mapping[str, Sequence[str]] | None = None,
) -> list[dict[str, Any]]:
    """What the outputs mean, for each sample: of one output its answer, of several each under its name.

    Args:
        description: of the program.
        arguments: what it was run with.
        outputs: from `run`.
        texts: of inputs of text, each sample as it was typed: where an answer has a character for each of
            theirs, those that the model does not know stay as they are.
    """
    lengths: dict[str, list[int]] = {}
    place = 0
    for one in description["inputs"]:
        symbols = [size for size in one["shape"] if isinstance(size, str)]
        if symbols:
            given = arguments[place + 1].reshape(-1, len(symbols))
            lengths |= dict(zip(symbols, given.T.tolist(), strict=True))
        place += 2 if symbols else 1
    said = []
    for sample in range(len(outputs[0])):
        answers = {}
        for one, output in zip(description["outputs"], outputs, strict=True):
            row = output[sample]
            for axis, size in enumerate(one["shape"]):
                if size in lengths:
                    row = row.narrow(axis, 0, min(lengths[size][sample], row.shape[axis]))
            answer = _answer(one, row)
            for name, typed in (texts or {}).items():
                if one["kind"] == "text" and _in_step(description, name, one):
                    answer["text"] = _with_unknown(answer["text"], typed[sample])
            answers[one["name"]] = answer
        said.append(next(iter(answers.values())) if len(answers) == 1 else answers)
    return said


def _in_step(description: Plain, name: str, output: Plain) -> bool:
    """Whether an output has a character for each of an input's."""
    (given,) = (one for one in description["inputs"] if one["name"] == name)
    kinds = {one["vocabulary"]["kind"] for one in (given, output)}
    return kinds == {"characters"} and list(given["shape"]) == list(output["shape"])


def _with_unknown(answer: str, typed: str) -> str:
    """The answer with what was typed in the places of unknown characters."""
    if len(answer) != len(typed):
        return answer
    return "".join(given if found == "�" else found for found, given in zip(answer, typed, strict=True))


def _answer(one: Plain, row: Tensor) -> dict[str, Any]:
    names = one["classes"]
    match one["kind"]:
        case "classes":
            ranking = sorted(zip(names, row.tolist(), strict=True), key=lambda pair: -pair[1])
            return {"classes": [{"class": name, "probability": share} for name, share in ranking]}
        case "values":
            return {"outputs": dict(zip(names, row.tolist(), strict=True))}
        case "score":
            return {"score": row.item()}
        case "text":
            return {"text": decode(one["vocabulary"], row.tolist())}
        case "labels":
            return {"labels": [names[number] for number in row.tolist()]}
        case "boxes":
            return {"boxes": [_box(names, box) for box in row.tolist() if box[4] > 0]}
        case "mask":
            present = row.unique(return_counts=True)
            shares = {
                names[n]: count / row.numel() for n, count in zip(*(p.tolist() for p in present), strict=True)
            }
            return {"shares": shares, "mask": row.tolist()}
    return {"image": (row.clamp(0, 1) * 255).round().to(torch.uint8).tolist()}


def _box(names: Sequence[str], box: list[float]) -> dict[str, Any]:
    sides = dict(zip(("left", "top", "right", "bottom"), box[:4], strict=True))
    return {"class": names[int(box[5])], "score": box[4], **sides}


class Answering:
    """A registered model as MLflow's server asks it."""

    def load_context(self, context: Any) -> None:
        """Reads the program and its description."""
        extra = {"description.json": ""}
        program = torch.export.load(Path(context.artifacts["program"]), extra_files=extra)
        self.program = program.module()
        self.description = json.loads(extra["description.json"])

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        """Rows of numbers where numbers go in and one row of numbers comes out; else what is meant, in words.

        Args:
            context: of MLflow.
            model_input: one input or several by name: texts, sounds (a file's bytes in base64), numbers.
            params: of MLflow.

        Raises:
            ValueError: a sample is not what the model takes, or an answer not what it says.
        """
        inputs = self.description["inputs"]
        given = _by_name(model_input, [one["name"] for one in inputs])
        texts = {
            one["name"]: [str(text) for text in given[one["name"]]] for one in inputs if one["kind"] == "text"
        }
        arguments = [tensor for one in inputs for tensor in batch(one, _samples(one, given[one["name"]]))]
        outputs = run(self.program, arguments)
        check_outputs(self.description, outputs, len(arguments[0]))
        (first, *others) = self.description["outputs"]
        numbers = all(one["kind"] not in ("text", "sound") for one in inputs)
        if numbers and not others and first["kind"] in ("classes", "values"):
            return outputs[0].numpy()
        return say(self.description, arguments, outputs, texts)


def _by_name(given: Any, names: list[str]) -> dict[str, Any]:
    if isinstance(given, Mapping):
        return {name: given[name] for name in names}
    if hasattr(given, "columns"):  # a data frame of pandas
        return {name: given.iloc[:, place].tolist() for place, name in enumerate(names)}
    return {names[0]: given}


def _samples(one: Plain, given: Any) -> list[numpy.ndarray]:
    if one["kind"] == "text":
        return [text_sample(one, str(text)) for text in given]
    if one["kind"] == "sound" and any(isinstance(sample, str) for sample in given):
        return [sound_sample(one, base64.b64decode(sample)) for sample in given]
    return [numpy.asarray(sample, numpy.float32) for sample in given]
