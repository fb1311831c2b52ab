"""The closing table, for the terminal and as Markdown, and what to try next."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from modules.report import numbers
from modules.report.results import Recipe

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

HEADINGS = ("recipe", "test score", "expected", "parameters", "multiply-adds", "seconds", "version")


def rows(recipes: list[Recipe]) -> list[tuple[str, ...]]:
    """The cells of each recipe, as text."""
    return [
        (
            recipe.name,
            f"{numbers.score(recipe.score)} {'✓' if recipe.reached else '✗'}"
            if recipe.evaluation
            else recipe.missing,
            f"{recipe.expected:g}",
            numbers.count(recipe.num_parameters),
            numbers.count(recipe.multiply_adds),
            "–" if recipe.seconds is None else f"{recipe.seconds:.1f}",
            f"{recipe.promotion.version}{' champion' if recipe.promotion.champion else ''}"
            if recipe.promotion
            else "–",
        )
        for recipe in recipes
    ]


def closing_table(recipes: list[Recipe]) -> "Table":
    """The table for the terminal."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading in ("recipe", "version") else "right")
    for recipe, cells in zip(recipes, rows(recipes), strict=True):
        # Text, not markup: a name may hold square brackets.
        written = [Text(cell) for cell in cells]
        written[0].stylize("bold")
        if recipe.reached is not None:
            written[1].stylize("green" if recipe.reached else "red")
        if recipe.promotion and recipe.promotion.champion:
            written[-1].stylize("cyan")
        table.add_row(*written)
    return table


def markdown(recipes: list[Recipe]) -> str:
    """The table as Markdown."""
    lines = [
        "| recipe | data | " + " | ".join(HEADINGS[1:]) + " |",
        "| :--- | :--- | " + " | ".join(["---:"] * (len(HEADINGS) - 2)) + " | :--- |",
    ]
    for recipe, cells in zip(recipes, rows(recipes), strict=True):
        written = [cells[0], recipe.dataset, *cells[1:]]
        lines.append("| " + " | ".join(_plain(cell) for cell in written) + " |")
    return "\n".join(lines) + "\n"


def next_commands(recipes: list[Recipe]) -> list[tuple[str, str]]:
    """What to try next, as (what it does, command), with recipes that are there."""
    train = "python -m pipelines.train"
    example = recipes[-1].name
    commands = [
        ("dashboard", "make dashboard"),
        ("override", f"{train} recipe={example} optimizer.lr=0.002"),
        ("sweep", f"{train} -m recipe={example} optimizer.lr=0.0005,0.001,0.002"),
    ]
    champions = [
        recipe.promotion.model for recipe in recipes if recipe.promotion and recipe.promotion.champion
    ]
    if champions:
        commands.append(
            ("predict", f"python -m pipelines.predict model={champions[-1]}@champion input=picture.png")
        )
    return commands


def closing(recipes: list[Recipe], page: Path, console: "Console") -> None:
    """Prints the last thing on the terminal: the table, what to try next, and where the page is."""
    from rich.text import Text

    console.print(closing_table(recipes))
    console.print(Text("Next, for example"))
    for meaning, command in [*next_commands(recipes), ("report", str(page))]:
        # Soft-wrapped: a command is copied as one line, however narrow the terminal.
        console.print(Text(f"  {meaning:<11}", style="dim") + Text(command, style="default"), soft_wrap=True)


def _plain(cell: str) -> str:
    """Text that Markdown leaves as it is."""
    return re.sub(r"([\\`*_{}\[\]<>|#])", r"\\\1", " ".join(cell.split()))
