"""One page over all recipes, the same table as Markdown and on the terminal, and what to try next.

python -m pipelines.report                 write build/report/ and show the table
python -m pipelines.report show=table      show the table alone
python -m pipelines.report show=page       write build/report/ alone
"""

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modules.configuration.command import arguments, run


@dataclass(frozen=True)
class Arguments:
    """
    Args:
        build: folder that the earlier verbs wrote to.
        show: table = only show the table, page = only write the page, all = both.
    """

    build: str = "build"
    show: Literal["all", "table", "page"] = "all"


def main(argv: list[str]) -> None:
    """Reads what the earlier verbs left and writes the report beside it."""
    chosen = arguments(argv, Arguments, __doc__ or "")
    from modules.report.results import read_recipes

    build = Path(chosen.build)
    recipes = read_recipes(build)
    if chosen.show != "table":
        from modules.report.page import render
        from modules.report.table import markdown

        page, table = render(recipes), markdown(recipes)
        _write(build / "report" / "index.html", page)
        _write(build / "report" / "table.md", table)
    if chosen.show != "page":
        from rich.console import Console

        from modules.report.table import closing

        closing(recipes, build / "report" / "index.html", Console())


def _write(path: Path, text: str) -> None:
    """Moves a complete file into place: whoever reads sees the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


if __name__ == "__main__":
    run(main)
