"""What an evaluation leaves in build/evaluate/<recipe>/, written at once and read back for promotion.

metrics.json     figures by name
provenance.json  what it is of, see `Provenance`
examples.npz     the first samples as the served module takes them; not there where nothing is served
images/, charts.json and more      what the report shows, see modules/evaluation
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy

from modules.configuration.errors import UserError
from modules.configuration.regular_file import open_regular, read_regular_text
from modules.evaluation.findings import Findings, write_json


@dataclass(frozen=True)
class Provenance:
    """What an evaluation is of.

    Attributes:
        recipe: its name.
        identity: of the run that trained the weights.
        weights: sha256 of the file of weights.
        data: hash of each split's shards.
        inputs: what the served module takes, see `modules.tasks.served`; plain, and empty like the following
            where nothing is served.
        outputs: what it gives.
    """

    recipe: str
    identity: str
    weights: str
    data: dict[str, str]
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]


@dataclass(frozen=True)
class Outcome:
    """An evaluation as it was written down.

    Attributes:
        provenance: what it is of.
        metrics: figures by name.
        examples: the first samples by the names of the served module's arguments, in their order.
    """

    provenance: Provenance
    metrics: dict[str, float]
    examples: dict[str, numpy.ndarray]


def split_hashes(shards: dict[str, list[str]]) -> dict[str, str]:
    """One hash for each split from those of its shards."""
    return {split: hashlib.sha256("\n".join(hashes).encode()).hexdigest() for split, hashes in shards.items()}


def file_hash(file: Path) -> str:
    """The sha256 of a file.

    Raises:
        UserError: if it is missing.
    """
    try:
        with open_regular(file, links=True) as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except PermissionError:
        raise
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}", "Train the recipe first.") from error


def read_outcome(folder: Path) -> Outcome:
    """The evaluation in a folder.

    Raises:
        UserError: if there is none or it is damaged.
    """
    recipe = folder.name
    again = f"Run python -m pipelines.evaluate plan=build/plan/{recipe}.yaml"
    try:
        metrics = json.loads(read_regular_text(folder / "metrics.json", links=True))
        provenance = Provenance(**json.loads(read_regular_text(folder / "provenance.json", links=True)))
        examples = _read_examples(folder / "examples.npz") if provenance.inputs else {}
        figures = {name: float(value) for name, value in metrics.items()}
    except FileNotFoundError as error:
        raise UserError(f"{error.filename} is missing", again) from error
    except Exception as error:
        raise UserError(f"the evaluation in {folder} is damaged ({type(error).__name__})", again) from error
    return Outcome(provenance, figures, examples)


def _read_examples(file: Path) -> dict[str, numpy.ndarray]:
    with open_regular(file, links=True) as opened, numpy.load(opened, allow_pickle=False) as found:
        return dict(found)


def write_outcome(
    folder: Path, findings: Findings, provenance: Provenance, examples: Mapping[str, numpy.ndarray]
) -> list[Path]:
    """Everything into an empty folder.

    Returns:
        The files that the run's tracker keeps as well.
    """
    write_json(asdict(provenance), folder / "provenance.json")
    if examples:
        numpy.savez(folder / "examples.npz", allow_pickle=False, **examples)  # pyright: ignore[reportArgumentType]
    return findings.save(folder)
