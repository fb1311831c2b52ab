"""Says what a registered model or an exported program makes of an image: classes, or values by name.

python -m pipelines.predict model=lenet@champion input=image.png
python -m pipelines.predict model=lenet@3 input=images/ output=json
python -m pipelines.predict model=program.pt2 input=image.png
python -m pipelines.predict model=lenet input=image.png output=request |
    curl -d @- -H 'Content-Type: application/json' http://127.0.0.1:5001/invocations

An image is fitted to what the model learned: made grey or colour, its middle cut to the wanted proportions
and resized, laid on white where it is transparent. It is never inverted: a model that learned white on black
must be shown white on black.
"""

import json
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
        model: name@champion, name@version or the path of a .pt2 file.
        input: an image or a folder of images.
        output: table for people, json for machines, request = what to send to `mlflow models serve`.
        top: how many classes to name; a model that gives values shows all of them.
        tracking: where the registry is: a file of conf/tracking or an MLflow URI.
    """

    model: str
    input: str
    output: Literal["table", "json", "request"] = "table"
    top: int = 3
    tracking: str = "sqlite"


def main(argv: list[str]) -> None:
    """Predicts one image or a folder of them."""
    chosen = arguments(argv, Arguments, __doc__ or "")
    from modules.configuration.errors import UserError

    if chosen.top < 1:
        raise UserError(f"top={chosen.top} names no class", "Give 1 or more.")
    program, description = _load(chosen.model, chosen.tracking)
    import torch

    from modules.registry.user_images import find_images, image_inputs

    files = find_images(Path(chosen.input))
    if chosen.output == "request":
        print(json.dumps({"inputs": image_inputs(files, description.input_shape).tolist()}))
        return
    results = []
    for start in range(0, len(files), BATCH_SIZE):
        group = files[start : start + BATCH_SIZE]
        images = image_inputs(group, description.input_shape)
        with torch.inference_mode():
            answers = program(images).tolist()
        results += [
            {"input": str(file)} | _said(row, description, chosen.top)
            for file, row in zip(group, answers, strict=True)
        ]
    if chosen.output == "json":
        print(json.dumps(results, indent=1, ensure_ascii=False))
    else:
        _show(results)


def _said(answer: list[float], description: Any, top: int) -> dict[str, Any]:
    """A row of outputs: the most probable classes, or every value by name."""
    named = zip(description.outputs, answer, strict=True)
    if description.output_kind == "values":
        return {"outputs": dict(named)}
    ranking = sorted(named, key=lambda pair: -pair[1])[:top]
    return {"classes": [{"class": name, "probability": value} for name, value in ranking]}


def _load(model: str, tracking: str) -> tuple[Any, Any]:
    from modules.registry.versions import PROGRAM, Registry

    with ExitStack() as stack:
        if model.endswith(".pt2") or "/" in model:
            file = Path(model)
        else:
            registry = Registry(_tracking_settings(tracking))
            file = stack.enter_context(registry.fetched(registry.resolve(model))) / PROGRAM
        # Imports torch: only now, when the model is known to be there.
        from modules.registry.export import load_program

        return load_program(file)


def _tracking_settings(tracking: str) -> dict[str, Any]:
    from modules.configuration.composition.compose import compose

    if "://" in tracking:
        return compose(["tracking=server"])["tracking"] | {"uri": tracking}
    return compose([f"tracking={tracking}"])["tracking"]


def _show(results: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 1))
    are_classes = "classes" in results[0]
    headings = ("image", "class", "probability") if are_classes else ("image", "output", "value")
    for heading, side in zip((*headings, ""), ("left", "left", "right", "left"), strict=True):
        table.add_column(heading, justify=side, overflow="fold")  # pyright: ignore[reportArgumentType]
    for result in results:
        name = Path(result["input"]).name
        rows = (
            [
                (entry["class"], f"{entry['probability']:.1%}", "█" * round(20 * entry["probability"]))
                for entry in result["classes"]
            ]
            if are_classes
            else [(output, f"{value:.4g}", "") for output, value in result["outputs"].items()]
        )
        for output, value, bar in rows:
            table.add_row(Text(name), Text(output), value, Text(bar, "cyan"))
            name = ""
    Console().print(table)


if __name__ == "__main__":
    run(main)
