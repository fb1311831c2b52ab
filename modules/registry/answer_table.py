"""Answers of a model as a table for people."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any


def show(results: Sequence[dict[str, Any]]) -> None:
    """Prints what `pipelines.predict` found."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 1))
    for heading, side in zip(("input", "answer", "", ""), ("left", "left", "right", "left"), strict=True):
        table.add_column(heading, justify=side, overflow="fold")  # pyright: ignore[reportArgumentType]
    for result in results:
        name = result["input"]
        label = Path(name).name if Path(name).suffix and " " not in name else name
        for answer, value, bar in _rows({key: value for key, value in result.items() if key != "input"}):
            table.add_row(Text(label), Text(answer), Text(value), Text(bar, "cyan"))
            label = ""
    Console().print(table)


def _rows(answer: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """What is said, a figure to it, and a bar."""
    for key, value in answer.items():
        match key, value:
            case "classes", list():
                for entry in value:
                    share = entry["probability"]
                    yield entry["class"], f"{share:.1%}", "█" * round(20 * share)
            case "outputs", dict():
                yield from ((name, f"{number:.4g}", "") for name, number in value.items())
            case "score", float():
                yield "", f"{value:.4g}", "█" * round(20 * min(max(value, 0), 1))
            case "boxes", list():
                if not value:
                    yield "no box", "", ""
                for box in value:
                    sides = " ".join(f"{box[side]:.3f}" for side in ("left", "top", "right", "bottom"))
                    yield f"{box['class']}  {sides}", f"{box['score']:.1%}", "█" * round(20 * box["score"])
            case "shares", dict():
                yield from ((name, f"{share:.1%}", "█" * round(20 * share)) for name, share in value.items())
            case "labels", list():
                yield from ((text, "", "") for text in _spans(value))
            case "mask" | "image", list():
                yield f"{key}: write it with out=folder", "", ""
            case _, dict():
                yield f"{key}:", "", ""
                yield from _rows(value)
            case _:
                yield str(value), "", ""


def _spans(labels: Sequence[str]) -> Iterator[str]:
    """Equal labels that follow one another as one line: `5..8 cat`."""
    start = 0
    for number in range(1, len(labels) + 1):
        if number == len(labels) or labels[number] != labels[start]:
            yield (
                f"{start}..{number - 1}  {labels[start]}"
                if number - 1 > start
                else f"{start}  {labels[start]}"
            )
            start = number
