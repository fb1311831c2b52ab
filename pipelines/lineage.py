"""What was made of what: from data to runs to models, and back.

python -m pipelines.lineage data=fashion_mnist     its sources, and all that was trained on it
python -m pipelines.lineage data=36d3570f5a2c      the same, by a sha256 of shard, split, vocabulary or source
python -m pipelines.lineage model=lenet@champion   the run, code and data of a model, and what came of it
python -m pipelines.lineage model=runs/1a2b3c4d5e6f7081
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from modules.configuration.command import arguments, run

if TYPE_CHECKING:
    from rich.tree import Tree

    from modules.registry.lineage_records import Dataset, Run, Yard


@dataclass(frozen=True)
class Arguments:
    """
    Args:
        data: a dataset's name, or a sha256 or its beginning, of 8 digits or more.
        model: name@champion, name@version, or a folder of runs/ or build/train/.
        tracking: where the registry is: a file of conf/tracking or an MLflow URI.
        storage: folder that holds data/shards/ and runs/.
    """

    data: str | None = None
    model: str | None = None
    tracking: str = "sqlite"
    storage: str = "."


def main(argv: list[str]) -> None:
    """Shows a tree."""
    chosen = arguments(argv, Arguments, __doc__ or "")
    from modules.configuration.errors import UserError

    if (chosen.data is None) == (chosen.model is None):
        raise UserError("one of data=... and model=... is needed, and not both", "See --help")
    import sys

    from rich.console import Console

    from modules.registry.lineage_records import find_dataset, find_run, read_yard
    from modules.registry.references import registry_settings

    yard = read_yard(Path(chosen.storage), registry_settings(chosen.tracking))
    if chosen.data is not None:
        tree = _of_dataset(yard, find_dataset(yard, chosen.data))
    else:
        tree = _of_run(yard, find_run(yard, chosen.model or ""))
    for note in yard.notes:
        print(f"note: {note}", file=sys.stderr)
    Console(width=None if sys.stdout.isatty() else 200, soft_wrap=True).print(tree)


def _of_dataset(yard: "Yard", dataset: "Dataset") -> "Tree":
    tree = _tree(dataset.name)
    made = tree.add("made of")
    for name, digest in dataset.sources:
        made.add(f"{name}  {digest[:12]}")
    holds = tree.add("holds")
    for split, digest in dataset.splits.items():
        holds.add(f"{split}  {digest[:12]}")
    trained = yard.runs_on(dataset)
    of = tree.add(f"trained on it: {len(trained) or 'nothing'}")
    for one in trained:
        _add_run(yard, of.add(_line(yard, one, dataset)), one, {one.identity})
    return tree


def _of_run(yard: "Yard", found: "Run") -> "Tree":
    dataset = yard.datasets.get(found.dataset)
    tree = _tree(_line(yard, found, dataset))
    if found.commit:
        tree.add(f"code  commit {found.commit}")
    data = tree.add(f"data  {found.dataset}" + ("" if dataset else "  (is not here)"))
    for name, digest in dataset.sources if dataset else []:
        data.add(f"{name}  {digest[:12]}")
    for key, reference in found.begins.items():
        identity = yard.named(reference)
        one = next((run for run in yard.runs if identity and run.identity == identity), None)
        tree.add(f"{key}  {reference}" + (f"  = {_line(yard, one, None)}" if one else ""))
    _add_run(yard, tree, found, {found.identity})
    return tree


def _add_run(yard: "Yard", tree: "Tree", found: "Run", seen: set[str]) -> None:
    """What came of a run, and of that in turn."""
    for key, other in yard.begun_from(found):
        branch = tree.add(f"{key} of  {_line(yard, other, None)}")
        if other.identity not in seen:
            _add_run(yard, branch, other, seen | {other.identity})


def _line(yard: "Yard", found: "Run", dataset: "Dataset | None") -> str:
    words = [found.recipe, f"runs/{found.folder.name}", found.score or "not evaluated"]
    if not found.is_finished:
        words[2] = "not finished"
    if dataset is not None and found.data:
        other = [split for split, digest in found.data.items() if dataset.splits.get(split) != digest]
        words += [f"on another {', '.join(other)}"] if other else []
    return "  ".join([*words, *yard.models.get(found.identity, [])])


def _tree(text: str) -> "Tree":
    from rich.tree import Tree

    return Tree(text, highlight=False)


if __name__ == "__main__":
    run(main)
