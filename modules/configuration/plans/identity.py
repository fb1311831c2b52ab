"""The identity of a run: what its result depends on, in one hash.

It covers the resolved configuration, the shards' hashes, the fingerprint of the code that decides the weights
(`modules.configuration.plans.code_rings`), the pinned environment, and what the run begins from: the identity
of the phase before it, the content of weights and teachers. What a run is called, where it happens and where
it is tracked do not change its result, nor do its evaluation and the score expected of it; so the keys of
WITHOUT_EFFECT are left out, and so is every path. Threads, workers and stacking change how sums are rounded:
which they were is kept in the run's summary, and said where the run is met again.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from modules.configuration.errors import UserError
from modules.configuration.plans.made_of import difference, how_to_shard, made_otherwise
from modules.configuration.plans.mirrored_index import bring_index
from modules.configuration.plans.run_plan import Plan
from modules.configuration.regular_file import read_regular_text
from modules.configuration.schema.data_settings import MIRROR_KEYS, DataSettings
from modules.configuration.static_analysis.definitions import ROOT

WITHOUT_EFFECT = (
    "name",
    "runtime",
    "sweep",
    "tracking",
    "allowed_targets",
    "allowed_environment",
    "evaluation",
    "expected",
)
VOCABULARY = "vocabulary."
"""Before a field's name in `shard_hashes`."""
_BY_CONTENT = ("phases", "init_from", "teacher")


def identity(plan: Plan, shards: Path | None = None, constraints: Path = ROOT / "constraints.txt") -> str:
    """The identity of the run that a plan describes.

    Args:
        plan: with `pretrained` if it names weights or teachers (see `modules.registry.pretrained`).
        shards: the folder of its dataset's shards; by default data/shards/<dataset>.
        constraints: the file that pins the environment.

    Returns:
        64 hexadecimal digits.

    Raises:
        UserError: the shards are not there.
    """
    return identities(plan, shards, constraints)[-1]


def identities(
    plan: Plan, shards: Path | None = None, constraints: Path = ROOT / "constraints.txt"
) -> list[str]:
    """The identities of the runs of a plan: of its phases in their order, then its own; see `identity`."""
    hashes = shard_hashes(shards or Path("data/shards") / plan.dataset, plan.data)
    pins = pinned_environment(constraints)
    found: list[str] = []
    for one in plan.all_runs:
        ignored = (*WITHOUT_EFFECT, *_BY_CONTENT)
        parts = {
            "configuration": {
                key: _with_effect(key, value)
                for key, value in one.configuration.items()
                if key not in ignored
            },
            "begins": _beginning(one, found[-1] if found else None),
            "shards": hashes,
            "code": one.code.fingerprint,
            "environment": pins,
        }
        text = json.dumps(parts, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        found.append(hashlib.sha256(text.encode()).hexdigest())
    return found


def _with_effect(key: str, value: Any) -> Any:
    """A section without what decides nothing: where shards are had from, and a key that came later and says
    what was so before."""
    if key == "data":
        return {name: inner for name, inner in value.items() if name not in MIRROR_KEYS}
    if key == "trainer" and value.get("order", {}).get("window_shards", 1) is None:
        order = {name: inner for name, inner in value["order"].items() if name != "window_shards"}
        return value | {"order": order}
    return value


def _beginning(plan: Plan, phase: str | None) -> dict[str, str]:
    """What a run begins from, by content: an earlier phase's identity, or hashes of files."""
    begins = {}
    if phase is not None:
        begins["phase"] = phase
    elif plan.init_from:
        begins["weights"] = plan.pretrained.weights_sha256
    if plan.teacher:
        begins["teachers"] = plan.pretrained.teacher_answers_sha256
    return begins


def shard_hashes(folder: Path, data: DataSettings | None = None) -> dict[str, list[str]]:
    """The sha256 of every shard of a dataset, by split, in order, and of each vocabulary, by
    `vocabulary.<field>`.

    Args:
        folder: of the dataset.
        data: its settings, with which the shards must have been made.

    Raises:
        UserError: there is no readable shards.json, or it is of other settings.
    """
    path = folder / "shards.json"
    if data is not None and data.mirror is not None:
        bring_index(data.mirror, path)
    try:
        found = json.loads(read_regular_text(path, links=True))
        if data is not None and (other := difference(found.get("made_of"), data)):
            raise made_otherwise(path, other)
        hashes = {
            split: [str(shard["sha256"]) for shard in entry["shards"]]
            for split, entry in found["splits"].items()
        }
        words = found.get("vocabularies", {}).items()
        return hashes | {f"{VOCABULARY}{field}": [str(entry["sha256"])] for field, entry in words}
    except FileNotFoundError:
        raise UserError(f"{path} is not there", how_to_shard(folder.name)) from None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} cannot be read: {error!r}", "Write the shards again") from error


def split_sizes(folder: Path) -> dict[str, int]:
    """How many samples each split of a dataset holds.

    Args:
        folder: of the dataset, whose shards.json `shard_hashes` has read.
    """
    found = json.loads((folder / "shards.json").read_text(encoding="utf-8"))["splits"]
    return {split: int(entry["num_samples"]) for split, entry in found.items()}


def pinned_environment(constraints: Path) -> list[str]:
    """The pins of a constraints file, without comments and order."""
    if not constraints.is_file():
        return []
    lines = (line.partition("#")[0].strip() for line in constraints.read_text().splitlines())
    return sorted(line for line in lines if line)
