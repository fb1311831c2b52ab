"""Says what a trained model makes of an image, a text, a sound, a clip or numbers.

python -m pipelines.predict model=lenet@champion input=image.png
python -m pipelines.predict model=lenet@3 input=images/ output=json
python -m pipelines.predict model=tweets input="what a day"
python -m pipelines.predict model=accents input="el nino comio"
echo "what a day" | python -m pipelines.predict model=tweets input=-
python -m pipelines.predict model=program.pt2 input=word.wav
python -m pipelines.predict model=runs/0123456789abcdef input=photograph.jpg,painting.jpg out=made
python -m pipelines.predict model=scene_embedding input=photographs/,"a red car"
python -m pipelines.predict model=lenet input=image.png output=request |
    curl -d @- -H 'Content-Type: application/json' http://127.0.0.1:5001/invocations

What the model takes decides how the input is read. An image is fitted to what the model learned: made grey or
colour, its middle cut to the wanted proportions and resized, laid on white where it is transparent. It is
never inverted: a model that learned white on black must be shown white on black. A sound is mono, and
resampled where it is not of the model's rate; a clip is an animated image or a folder of frames; a text is
the argument itself, a .txt file or standard input, and letters that the model never saw stay as they are
typed where it answers letter by letter. A model of several inputs takes them in its order, with commas
between; one sample goes beside every one of a folder, as where a text is looked for among images: what gives
a score lists the best first.
"""

import base64
import json
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from modules.configuration.command import arguments, run

BATCH_SIZE = 64


@dataclass(frozen=True)
class Arguments:
    """
    Args:
        model: name@champion, name@version, the path of a .pt2 file or a run's folder.
        input: a file, a folder of files, a text, or - for standard input.
        output: table for people, json for machines, request = what to send to `mlflow models serve`.
        out: folder for the images that a model gives: masks, boxes over the input, images.
        top: how many classes to name; a model that gives values shows all of them.
        tracking: where the registry is: a file of conf/tracking or an MLflow URI.
    """

    model: str
    input: str
    output: Literal["table", "json", "request"] = "table"
    out: str | None = None
    top: int = 3
    tracking: str = "sqlite"


def main(argv: list[str]) -> None:
    """Predicts one sample or a folder of them."""
    chosen = arguments(argv, Arguments, __doc__ or "")
    from rich.console import Console

    from modules.configuration.errors import UserError

    if chosen.top < 1:
        raise UserError(f"top={chosen.top} names no class", "Give 1 or more.")
    program, description = _load(chosen.model, chosen.tracking)
    rows = _samples(description, chosen.input)
    if chosen.output == "request":
        print(json.dumps({"inputs": _request(description, rows)}, ensure_ascii=False))
        return
    results = []
    # Samples of several sizes are padded to the largest of a batch; of images and clips none may be padded.
    padded = all(one.kind in ("text", "sound") or not one.symbols for one in description.inputs)
    size = BATCH_SIZE if padded else 1
    with Console(stderr=True).status(f"{description.name} on {len(rows)} samples"):
        for start in range(0, len(rows), size):
            results += _answers(program, description, rows[start : start + size])
    if any(one.kind == "score" for one in description.outputs):
        results.sort(key=lambda result: -result["score"])
    for result in results:
        if "classes" in result:
            result["classes"] = result["classes"][: chosen.top]
    if chosen.out is not None:
        from modules.registry.answer_images import write_images

        write_images(results, [[sample.values for sample in row] for row in rows], Path(chosen.out))
    if chosen.output == "json":
        print(json.dumps(results, indent=1, ensure_ascii=False))
    else:
        from modules.registry.answer_table import show

        show(results)


def _samples(description: Any, given: str) -> list[list[Any]]:
    """The samples of each input, one row for each answer."""
    from modules.configuration.errors import UserError
    from modules.registry.user_inputs import samples_of

    inputs = description.inputs
    # Only a text that comes last may hold commas itself.
    last_is_text = inputs[-1].kind == "text"
    parts = given.split(",", len(inputs) - 1) if last_is_text else given.split(",")
    parts = [given] if len(inputs) == 1 else parts
    if len(parts) != len(inputs):
        names = ",".join(one.name for one in inputs)
        raise UserError(
            f"the model takes {len(inputs)} inputs, and input names {len(parts)}", f"Give {names}"
        )
    found = [samples_of(one, part) for one, part in zip(inputs, parts, strict=True)]
    for note in [sample.note for some in found for sample in some if sample.note]:
        print(f"note: {note}", file=sys.stderr)
    most = max(map(len, found))
    found = [some * most if len(some) == 1 else some for some in found]
    if any(len(some) != most for some in found):
        counts = " and ".join(str(len(some)) for some in found)
        raise UserError(f"the inputs hold {counts} samples", "Give as many of each, or one")
    return [list(row) for row in zip(*found, strict=True)]


def _answers(program: Any, description: Any, rows: list[list[Any]]) -> list[dict[str, Any]]:
    from modules.configuration.errors import UserError
    from modules.registry.answering import batch, check_outputs, run, say

    plain = description.to_plain()
    try:
        tensors = [
            tensor
            for place, one in enumerate(plain["inputs"])
            for tensor in batch(one, [row[place].values for row in rows])
        ]
    except ValueError as error:
        raise UserError(str(error), "Give it as the model takes it") from error
    try:
        outputs = run(program, tensors)
    except (AssertionError, RuntimeError, TypeError, ValueError, IndexError) as error:
        sizes = ", ".join(str(list(tensor.shape)) for tensor in tensors)
        raise UserError(f"the model cannot take inputs of the sizes {sizes}", "Give larger ones") from error
    try:
        check_outputs(plain, outputs, len(rows))
    except ValueError as error:
        raise UserError(f"the model does not do what it says: {error}", "Promote its recipe again") from error
    texts = {
        one.name: [row[place].request for row in rows]
        for place, one in enumerate(description.inputs)
        if one.kind == "text"
    }
    said = say(plain, tensors, outputs, texts)
    labels = [", ".join(sample.label for sample in row) for row in rows]
    return [{"input": label} | answer for label, answer in zip(labels, said, strict=True)]


def _request(description: Any, rows: list[list[Any]]) -> Any:
    """The samples as MLflow's server takes them: texts, a file's bytes in base64, or numbers."""
    columns = {one.name: [_sent(row[place]) for row in rows] for place, one in enumerate(description.inputs)}
    return columns if len(columns) > 1 else next(iter(columns.values()))


def _sent(sample: Any) -> Any:
    if isinstance(sample.request, bytes):
        return base64.b64encode(sample.request).decode()
    return sample.values.tolist() if sample.request is None else sample.request


def _load(model: str, tracking: str) -> tuple[Any, Any]:
    from modules.registry.references import registry_settings
    from modules.registry.versions import PROGRAM, Registry

    with ExitStack() as stack:
        if "/" in model and Path(model).is_dir():
            from modules.registry.trained_run import load_run

            return load_run(Path(model))
        if model.endswith(".pt2") or "/" in model:
            file = Path(model)
        else:
            registry = Registry(registry_settings(tracking))
            file = stack.enter_context(registry.fetched(registry.resolve(model))) / PROGRAM
        # Imports torch: only now, when the model is known to be there.
        has_computed = "torch" in sys.modules
        from modules.registry.isolated_program import IsolatedProgram

        program = IsolatedProgram(file, has_computed=has_computed)
        return program, program.description


if __name__ == "__main__":
    run(main)
