"""One page over all that was trained, the same table as Markdown and on the terminal, and what to try next.

python -m pipelines.report                 write build/report/ and show the table
python -m pipelines.report show=table      show the table alone
python -m pipelines.report show=page       write build/report/ alone
"""

import io
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

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
    from modules.report.reading import read_recipes

    build = Path(chosen.build)
    recipes = read_recipes(build)
    if chosen.show != "table":
        from modules.configuration.yaml_files import write_if_changed
        from modules.report.comparisons import read_comparisons
        from modules.report.page import render
        from modules.report.results_table import markdown
        from modules.report.studies import read_studies

        page = render(recipes, read_studies(build), read_comparisons(build, recipes))
        table = markdown(recipes)
        is_new = write_if_changed(build / "report" / "index.html", page)
        write_if_changed(build / "report" / "table.md", table)
        if is_new and recipes:
            _track(build / "report" / "index.html", recipes[0].plan["tracking"])
    if chosen.show != "page":
        from rich.console import Console

        from modules.report.results_table import closing

        if isinstance(sys.stdout, io.TextIOWrapper):
            # A terminal that can't write a tick mark shows a question mark instead.
            sys.stdout.reconfigure(errors="replace")
        console = Console(width=None if sys.stdout.isatty() else 120)
        closing(recipes, build / "report" / "index.html", console)


def _track(page: Path, tracking: dict[str, Any]) -> None:
    """Makes the page an artefact of the run `report`, where there is a tracker."""
    from modules.tracking.store import is_there
    from modules.tracking.tracker import Tracker

    if tracking["uri"] is None or not is_there(tracking):
        return
    tracker = Tracker(
        Path("runs/report/tracking"), tracking, {"name": "report", "identity": "report", "tags": {}}
    )
    tracker.artifact(page)
    tracker.finish(wait_s=10.0)


if __name__ == "__main__":
    run(main)
