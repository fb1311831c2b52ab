"""Plans the whole catalogue: every source, dataset, recipe, space and comparison, and the verbs' code."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from modules.configuration.composition.comparison_files import comparison_files
from modules.configuration.composition.conf_contents import HINT, catalogue_text, names
from modules.configuration.composition.key_locations import CONF
from modules.configuration.errors import UserError
from modules.configuration.yaml_files import write_if_changed
from modules.planning.catalogue_page import catalogue_page
from modules.planning.plan_cache import PlanCache, Planned

VERBS = ("train", "promote", "report")
CACHE = Path("build/cache/plan.json")


def plan_all(out: Path, cache: Path = CACHE) -> None:
    """Writes every plan, once all of them are known to be right; what has not changed is not planned again.

    Raises:
        UserError: one is wrong, or conf/catalogue.yaml does not show what conf/ holds.
    """
    known = PlanCache(cache, out)
    files, text, _ = _planned(known)
    shown = CONF / "catalogue.yaml"
    if not shown.is_file() or shown.read_text(encoding="utf-8") != text:
        raise UserError("conf/catalogue.yaml does not show what conf/ holds", HINT)
    _write(out, files)
    known.save()


def catalogue_files(cache: Path = CACHE, out: Path = Path("build/plan")) -> dict[Path, str]:
    """What `--catalogue` writes: the text of conf/catalogue.yaml and of docs/catalogue.md, by their paths.

    Raises:
        UserError: an item is wrong.
    """
    _, text, page = _planned(PlanCache(cache, out))
    return {CONF / "catalogue.yaml": text, CONF.parent / "docs" / "catalogue.md": page}


def _planned(known: PlanCache) -> tuple[dict[str, str | None], str, str]:
    """The files of all items, None for those that are right as they lie; the text of the catalogue; its
    page."""
    files: dict[str, str | None] = {}
    facts: dict[str, dict[str, dict[str, Any]]] = {}

    def plan(kind: str, names_of: list[str]) -> None:
        facts[kind] = {}
        for name in names_of:
            found, facts[kind][name] = known.plan(f"{kind} {name}", _computing(kind, name))
            files.update(found)

    plan("source", names("source"))
    plan("dataset", names("data"))
    plan("recipe", names("recipe"))
    plan("space", names("space"))
    plan("verb", list(VERBS))
    # Each time: it takes no more than the facts of the recipes.
    classes = {name: entry["classes"] for name, entry in facts["recipe"].items()}
    files |= comparison_files(names("comparison"), classes)
    text = catalogue_text(facts["source"], facts["dataset"], facts["recipe"], facts["space"])
    return files, text, catalogue_page({name: entry["page"] for name, entry in facts["recipe"].items()})


def _computing(kind: str, name: str) -> Callable[[], Planned]:
    def compute() -> Planned:
        # Late: where nothing has changed neither Hydra nor anything else is needed.
        from modules.planning import plan_items

        return getattr(plan_items, f"plan_{kind}")(name)

    return compute


def _write(out: Path, files: dict[str, str | None]) -> None:
    written = [
        name for name, text in files.items() if text is not None and write_if_changed(out / name, text)
    ]

    gone = [
        path for path in out.rglob("*") if path.is_file() and path.relative_to(out).as_posix() not in files
    ]

    for path in gone:
        path.unlink()
    unchanged = sum(text is None for text in files.values())
    print(f"{out}: {len(files)} files, {len(written)} written, {len(gone)} removed, {unchanged} known before")
