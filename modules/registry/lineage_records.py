"""From data to runs to models and back: what was made of what, as datasets, runs and registry say it.

Read are data/shards/*/shards.json, the folders of runs/ with their evaluations, and the registered models of
the tracker, where there is one. Whether a dataset is as it was when a run was evaluated the hashes of its
splits say; of a run that was never evaluated its name alone is known.
"""

import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from modules.configuration.errors import UserError
from modules.configuration.plans.identity import shard_hashes
from modules.configuration.regular_file import read_regular_text
from modules.configuration.yaml_files import parse_yaml
from modules.registry.outcome import split_hashes
from modules.registry.versions import Registry, Version
from modules.tracking.store import is_there


@dataclass(frozen=True)
class Dataset:
    """A dataset that lies here.

    Attributes:
        name: of it and of its folder.
        sources: files that it was made of: package or address, version and sha256.
        splits: the hash of each split and vocabulary, of those of its files.
        hashes: every sha256 that names it or a part of it.
    """

    name: str
    sources: list[tuple[str, str]]
    splits: dict[str, str]
    hashes: frozenset[str]


@dataclass(frozen=True)
class Run:
    """A run that lies here.

    Attributes:
        folder: of it.
        recipe: its name.
        identity: of it.
        dataset: name of the dataset that it was trained on.
        data: hash of each split that it was evaluated on; empty where it was not.
        begins: what it begins from, learns from or asks, by the key that names it.
        score: of its evaluation, in words; empty where there is none.
        commit: of its code.
        is_finished: whether it was trained to its end.
    """

    folder: Path
    recipe: str
    identity: str
    dataset: str
    data: dict[str, str]
    begins: dict[str, str]
    score: str
    commit: str
    is_finished: bool


@dataclass(frozen=True)
class Yard:
    """All that is here.

    Attributes:
        datasets: by name.
        runs: of all recipes, the oldest first.
        models: the registered versions of a run, by its identity.
        aliases: of registered models: `lenet@champion` to the identity that it names today.
        notes: what could not be read.
    """

    datasets: dict[str, Dataset]
    runs: list[Run]
    models: dict[str, list[str]] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def runs_on(self, dataset: Dataset) -> list[Run]:
        """The runs that were trained on a dataset, of whatever state it had then."""
        return [run for run in self.runs if run.dataset == dataset.name]

    def begun_from(self, run: Run) -> list[tuple[str, Run]]:
        """The runs that begin from a run, learn from it or ask it, with the key by which they do."""
        return [(key, other) for key, other in self._begun.get(run.identity, []) if other is not run]

    @cached_property
    def _begun(self) -> dict[str, list[tuple[str, Run]]]:
        """The same of all runs, by their identity."""
        begun: dict[str, list[tuple[str, Run]]] = {}
        for other in self.runs:
            for key, reference in other.begins.items():
                begun.setdefault(self.named(reference), []).append((key, other))
        return begun

    def named(self, reference: str) -> str:
        """The identity of the run that a reference names; empty where it names none that is here."""
        if "@" in reference and "/" not in reference:
            return self.aliases.get(reference, "")
        path = Path(reference)
        folder = path.parent if path.suffix else path
        for run in self.runs:
            if run.folder.name == folder.name:
                return run.identity
        try:
            return str(json.loads(read_regular_text(folder / "summary.json", links=True))["identity"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""


def read_yard(storage: Path, tracking: Mapping[str, Any] | None) -> Yard:
    """What lies in a storage, and what its tracker has registered.

    Args:
        storage: holds data/shards/ and runs/.
        tracking: the section of the configuration; None, or a tracker that is not there, leaves models out.
    """
    notes: list[str] = []
    found = [
        _read_dataset(path, notes) for path in sorted((storage / "data" / "shards").glob("*/shards.json"))
    ]
    datasets = {dataset.name: dataset for dataset in found if dataset is not None}
    evaluations = dict(_evaluations(storage / "build" / "evaluate"))
    runs = [
        run
        for path in sorted((storage / "runs").glob("*/plan.yaml"), key=lambda path: path.stat().st_mtime)
        if (run := _read_run(path.parent, evaluations, notes)) is not None
    ]
    models: dict[str, list[str]] = {}
    aliases: dict[str, str] = {}
    if tracking is not None and tracking["uri"] is not None and is_there(dict(tracking)):
        try:
            for version, names in Registry(dict(tracking)).versions():
                _take_in(version, names, models, aliases)
        except UserError as error:
            notes.append(f"no registered models: {error.problem}")
    return Yard(datasets, runs, models, aliases, notes)


def find_dataset(yard: Yard, name: str) -> Dataset:
    """The dataset of a name, or that a sha256 (8 digits or more) names or is a part of.

    Raises:
        UserError: there is none, or several.
    """
    if name in yard.datasets:
        return yard.datasets[name]
    found = [
        dataset
        for dataset in yard.datasets.values()
        if len(name) >= 8 and any(digest.startswith(name.lower()) for digest in dataset.hashes)
    ]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(dataset.name for dataset in found)
        raise UserError(f"data={name} is a part of {names}", "Name one of them")
    here = ", ".join(yard.datasets) or "none"
    raise UserError(
        f"data={name}: no dataset here has that name, and no shard, split, vocabulary or source that sha256",
        f"Here are: {here}",
    )


def find_run(yard: Yard, reference: str) -> Run:
    """The run of a registered model or of a folder.

    Raises:
        UserError: there is none.
    """
    identity = yard.named(reference if "@" in reference or "/" in reference else f"{reference}@champion")
    for run in yard.runs:
        if identity and run.identity == identity:
            return run
    if identity:
        raise UserError(
            f"model={reference}: its run {identity[:16]} is not in runs/",
            "It was trained elsewhere, or removed",
        )
    known = ", ".join(sorted(yard.aliases)) or "none"
    hint = f"Registered are: {known}; or name a folder of runs/ or build/train/"
    raise UserError(f"model={reference} names no model or run here", yard.notes[-1] if yard.notes else hint)


def _read_dataset(path: Path, notes: list[str]) -> Dataset | None:
    try:
        content = json.loads(read_regular_text(path, links=True))
        by_split = shard_hashes(path.parent)
        splits = split_hashes(by_split)
        sources = list(_files(content["source"]))
        digests = [digest for some in by_split.values() for digest in some]
        everything = frozenset([*digests, *splits.values(), *(digest for _, digest in sources)])
        return Dataset(str(content["dataset"]), sources, splits, everything)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UserError) as error:
        notes.append(f"{path} cannot be read: {error}")
        return None


def _files(source: Any) -> Iterable[tuple[str, str]]:
    """What a source says of its files, whatever kind it is: their names and hashes."""
    if isinstance(source, list):
        for one in source:
            yield from _files(one)
    elif isinstance(source, dict):
        inner = [value for value in source.values() if isinstance(value, list | dict)]
        names = [source.get(key) for key in ("package", "project", "url", "name")]
        name = next((str(one) for one in names if one), "file")
        if "sha256" in source and not inner:
            version = f" {source['version']}" if source.get("version") else ""
            yield f"{name}{version}", str(source["sha256"])
        for one in inner:
            yield from _files(one)


def _evaluations(folder: Path) -> Iterable[tuple[str, Path]]:
    """Evaluations of the pipeline's stages, by the identity of the run."""
    for path in folder.glob("*/provenance.json"):
        with suppress(OSError, ValueError, UserError):
            yield str(_json(path).get("identity", "")), path.parent


def _read_run(folder: Path, evaluations: Mapping[str, Path], notes: list[str]) -> Run | None:
    try:
        plan = parse_yaml(folder / "plan.yaml")
        summary = _json(folder / "summary.json")
        identity = str(summary.get("identity", folder.name))
        own = folder / "evaluate"
        evaluation = own if own.is_dir() else evaluations.get(identity, own)
        provenance, metrics = _json(evaluation / "provenance.json"), _json(evaluation / "metrics.json")
        metric = str((plan.get("expected") or {}).get("metric", ""))
        score = f"{metric} {metrics[metric]:.4f}" if metric in metrics else ""
        changed = " with changes" if summary.get("git_dirty") == "true" else ""
        commit = str(summary.get("git_commit") or "")[:10]
        return Run(
            folder=folder,
            recipe=str(plan["name"]),
            identity=identity,
            dataset=str(plan["data"]["name"]),
            data=dict(provenance.get("data", {})),
            begins=dict(_begins(plan)),
            score=score,
            commit=commit + changed if commit else "",
            is_finished=bool(summary),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, UserError) as error:
        notes.append(f"{folder} cannot be read: {error}")
        return None


def _begins(plan: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    if isinstance(plan.get("init_from"), str):
        yield "init_from", plan["init_from"]
    teacher = plan.get("teacher")
    models = teacher.get("models", []) if isinstance(teacher, dict) else []
    for number, reference in enumerate(models):
        yield f"teacher {number + 1}" if len(models) > 1 else "teacher", str(reference)
    evaluators = plan.get("evaluation") or []
    for node in evaluators if isinstance(evaluators, list) else [evaluators]:
        for key in ("judge", "language_model"):
            if isinstance(node, dict) and isinstance(node.get(key), str):
                yield key, node[key]


def _json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(read_regular_text(path, links=True)))
    except FileNotFoundError:
        return {}


def _take_in(
    version: Version, names: list[str], models: dict[str, list[str]], aliases: dict[str, str]
) -> None:
    identity = version.tags.get("identity", "")
    also = f" ({', '.join(names)})" if names else ""
    models.setdefault(identity, []).append(f"{version.name} version {version.number}{also}")
    for which in (*names, str(version.number)):
        aliases[f"{version.name}@{which}"] = identity
