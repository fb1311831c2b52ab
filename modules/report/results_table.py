"""The closing table, for the terminal and as Markdown, and what to try next."""

import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from modules.report import numbers
from modules.report.results import Recipe

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table


_FIGURES = ("parameters", "multiply-adds", "seconds")
_EXAMPLES = {
    "image": "image.png",
    "text": "'what a day'",
    "sound": "sound.wav",
    "clip": "clip.gif",
    "vector": "numbers.json",
}
"""What `predict` might be given, by what a model takes."""


def score_heading(recipes: list[Recipe]) -> str:
    """What the scores are called: by their metric if all recipes share it."""
    return f"test {numbers.spoken(recipes[0].metric)}" if one_metric(recipes) else "test score"


def one_metric(recipes: list[Recipe]) -> bool:
    """Whether all scores are of one kind."""
    return len({recipe.metric for recipe in recipes}) == 1


def untrained(recipes: list[Recipe]) -> tuple[str, str] | None:
    """What names the recipes that are not trained, and the command that trains one; None where all are."""
    names = [recipe.name for recipe in recipes if recipe.training is None]
    if not names:
        return None
    more = "more " if len(names) < len(recipes) else ""
    count = f"{len(names)} {more}recipe{'s' if len(names) > 1 else ''}"
    first = next(recipe for recipe in recipes if recipe.training is None)
    return f"{count}: {', '.join(names)}", train_one(first)


def train_one(recipe: Recipe) -> str:
    """The command that brings a recipe into the report."""
    verb = "promote" if recipe.serves else "evaluate"
    return f"dvc repro {shlex.quote(f'{verb}@{recipe.name}')}"


def predict_command(recipe: Recipe) -> str:
    """What asks a recipe's champion, or its run where it has none; empty where nothing answers."""
    if recipe.training is None or not recipe.serves:
        return ""
    champion = recipe.promotion if recipe.promotion and recipe.promotion.champion else None
    if champion is None and not recipe.training.run_folder:
        return ""
    model = f"{champion.model}@champion" if champion else recipe.training.run_folder
    takes = recipe.evaluation.takes if recipe.evaluation else ""
    given = ",".join(_EXAMPLES.get(kind, "image.png") for kind in takes.split(", "))
    return f"python -m pipelines.predict model={shlex.quote(model)} input={given}"


WORTH = (("CPU-hours", "cpu_hours"), ("GPU-hours", "gpu_hours"), ("money", "money"))
"""Headings of what training has cost, and its names."""
_WIDE = 96


def worth_columns(recipes: list[Recipe]) -> list[tuple[str, list[str]]]:
    """What training has cost with its phases: a heading and a cell for each recipe; a dash where it is not
    known. What no recipe has is left out."""
    columns = []
    for heading, name in WORTH:
        values = [one.training.in_all(name) if one.training else None for one in recipes]
        if any(values):
            write = numbers.money if name == "money" else numbers.hours
            columns.append((heading, [write(value) for value in values]))
    return columns


def closing_table(recipes: list[Recipe], width: int = 80) -> "Table":
    """The table of what was trained for the terminal; 80 columns wide for short names and one metric.

    Args:
        recipes: trained or not.
        width: of the terminal; a narrow one has no room for multiply-adds beside what training has cost.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    trained = [recipe for recipe in recipes if recipe.training]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    # Folded when it must be, never squeezed to nothing by longer scores.
    longest = max((len(recipe.name) for recipe in trained), default=0)
    table.add_column("recipe", overflow="fold", min_width=min(longest, 16))
    worth = worth_columns(trained)
    figures = _FIGURES if width >= _WIDE or not worth else _FIGURES[-1:]
    for heading in (score_heading(trained), *figures, *(heading for heading, _ in worth)):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("version", no_wrap=True)
    for row, recipe in enumerate(trained):
        score, style = recipe.missing, "dim"
        if recipe.score is not None:
            mark, style = ("✓", "green") if recipe.reached else ("✗", "red")
            metric = "" if one_metric(trained) else f"{numbers.spoken(recipe.metric)} "
            score = f"{metric}{numbers.score(recipe.score)} {recipe.relation} {recipe.expected:g} {mark}"
        # Text, not markup: a name may hold square brackets.
        table.add_row(
            Text(recipe.name, style="bold"),
            Text(score, style=style),
            *(_figure(recipe, heading) for heading in figures),
            *(cells[row] for _, cells in worth),
            Text(_version(recipe), style="cyan" if recipe.promotion and recipe.promotion.champion else ""),
        )
    return table


def markdown(recipes: list[Recipe]) -> str:
    """The table of what was trained as Markdown, and the names of the other recipes."""
    trained = [recipe for recipe in recipes if recipe.training]
    worth = worth_columns(trained)
    headings = ("expected", *_FIGURES, *(heading for heading, _ in worth))
    lines = [
        f"| recipe | data | {_plain(score_heading(trained))} | {' | '.join(headings)} | version |",
        f"| :--- | :--- | {' | '.join(['---:'] * (1 + len(headings)))} | :--- |",
    ]
    for row, recipe in enumerate(trained):
        mark = "" if recipe.reached is None else " ✓" if recipe.reached else " ✗"
        metric = "" if one_metric(trained) else f"{numbers.spoken(recipe.metric)} "
        cells = [
            recipe.name,
            recipe.dataset,
            recipe.missing if recipe.score is None else metric + numbers.score(recipe.score) + mark,
            f"{'≤ ' if recipe.smaller_is_better else ''}{recipe.expected:g}",
            *(_figure(recipe, heading) for heading in _FIGURES),
            *(cells[row] for _, cells in worth),
            _version(recipe),
        ]
        lines.append(f"| {' | '.join(_plain(cell) for cell in cells)} |")
    if others := untrained(recipes):
        names, command = others
        lines += ["", f"{_plain(names)}; train one: `{command}`"]
    return "\n".join(lines) + "\n"


def next_commands(recipes: list[Recipe]) -> list[tuple[str, str]]:
    """What to try next, as (what it does, command), with recipes that are there."""
    train = "python -m pipelines.train"
    example = shlex.quote(next((one.name for one in reversed(recipes) if one.training), recipes[-1].name))
    commands = [
        ("dashboard", "make dashboard"),
        ("override", f"{train} recipe={example} optimizer.lr=0.002"),
        ("sweep", f"{train} -m recipe={example} optimizer.lr=0.0005,0.001,0.002"),
    ]
    champions = [recipe for recipe in recipes if recipe.promotion and recipe.promotion.champion]
    if champions:
        commands.append(("predict", predict_command(champions[-1])))
    return commands


def closing(recipes: list[Recipe], page: Path, console: "Console") -> None:
    """Prints the last thing on the terminal: the table, what to try next, and where the page is."""
    from rich.text import Text

    console.print(closing_table(recipes, console.width))
    if others := untrained(recipes):
        console.print(Text(f"{others[0]}; train one: {others[1]}\n", style="dim"))
    console.print(Text("Next, for example"))
    for meaning, command in [*next_commands(recipes), ("report", str(page))]:
        # Soft-wrapped: a command is copied as one line, however narrow the terminal.
        console.print(Text(f"  {meaning:<11}", style="dim") + Text(command, style="default"), soft_wrap=True)


def _figure(recipe: Recipe, heading: str) -> str:
    if heading == "parameters":
        return numbers.count(recipe.num_parameters)
    if heading == "multiply-adds":
        return numbers.count(recipe.multiply_adds)
    return f"{recipe.training.seconds_in_all:.1f}" if recipe.training else "–"


def _version(recipe: Recipe) -> str:
    if recipe.promotion is None:
        return "–"
    return f"{recipe.promotion.version} champion" if recipe.promotion.champion else recipe.promotion.version


def _plain(cell: str) -> str:
    """Text that Markdown leaves as it is."""
    return re.sub(r"([\\`*_{}\[\]<>|#])", r"\\\1", " ".join(cell.split()))
